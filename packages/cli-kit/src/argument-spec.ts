/** One option of a command, as the normaliser needs to know it. */
export interface ArgumentOption {
  /** Without its dashes: `output`. */
  long: string;
  /** One character: `o`. */
  short?: string | undefined;
  /** `optionalValue`: takes a value when one follows, else means `bare`. */
  kind: 'flag' | 'value' | 'optionalValue';
  /** What an optionalValue without a value stands for. */
  bare?: string | undefined;
  /** An option of the established commands: unambiguous prefixes of it are understood. */
  established: boolean;
  /** Every occurrence counts; otherwise the last one wins. */
  multiple?: boolean | undefined;
}

export type ArgumentSpec = readonly ArgumentOption[];

/** The part of an oclif flag that matters here. */
export interface FlagShape {
  type: 'boolean' | 'option';
  char?: string | undefined;
  multiple?: boolean | undefined;
}

/**
 * Derives the spec from a command's oclif flags.
 *
 * @param established long names of the options that the established commands have too
 * @param bareValues for options whose value may be left out: long name → what the option alone means
 */
export function argumentSpecOf(
  flags: Readonly<Record<string, FlagShape>>,
  established: readonly string[],
  bareValues: Readonly<Record<string, string>> = {},
): ArgumentSpec {
  return Object.entries(flags).map(([long, flag]) => {
    const bare = bareValues[long];
    const kind = flag.type === 'boolean' ? 'flag' : bare === undefined ? 'value' : 'optionalValue';
    return { long, short: flag.char, kind, bare, established: established.includes(long), multiple: flag.multiple };
  });
}
