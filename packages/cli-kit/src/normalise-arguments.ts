import type { ArgumentOption, ArgumentSpec } from './argument-spec.ts';
import { UsageError } from './errors.ts';

/** An argument as argparse sees it: an option, perhaps with a value attached, or something that may be a value. */
type Token =
  | { kind: 'option'; option: ArgumentOption; written: string; attached: string | undefined; bundled: boolean }
  | { kind: 'other'; text: string }
  | { kind: 'end' };

/**
 * Rewrites a command line in the manner of Python's argparse to one that oclif parses: every option in its long form,
 * every value attached, `--name=value`; the last of repeated options only; what is no option at the end, after `--`.
 * The result normalises to itself. Prefixes are understood for established options, ours count in full only.
 *
 * @throws UsageError UNKNOWN_OPTION, AMBIGUOUS_OPTION, MISSING_VALUE, UNEXPECTED_VALUE
 */
export function normaliseArguments(argv: readonly string[], spec: ArgumentSpec): string[] {
  const table = new OptionTable(spec);
  const tokens = tokenise(argv, table);
  const options = new Map<string, string[]>();
  const rest: string[] = [];
  for (let index = 0; index < tokens.length; index++) {
    const token = tokens[index];
    if (token?.kind === 'other') rest.push(token.text);
    if (token?.kind !== 'option') continue;
    const next = tokens[index + 1];
    const following = next?.kind === 'other' ? next.text : undefined;
    const { words, tookNext } = expand(token, following, table);
    if (tookNext) index += 1;
    for (const { option, word } of words) {
      const before = option.multiple === true ? (options.get(option.long) ?? []) : [];
      // Deleted first, so that it stands where it was given last.
      options.delete(option.long);
      options.set(option.long, [...before, word]);
    }
  }
  return [...options.values()].flat().concat(rest.length > 0 ? ['--', ...rest] : []);
}

class OptionTable {
  readonly #byLong: ReadonlyMap<string, ArgumentOption>;
  readonly #byShort: ReadonlyMap<string, ArgumentOption>;

  constructor(spec: ArgumentSpec) {
    this.#byLong = new Map(spec.map((option) => [option.long, option]));
    this.#byShort = new Map(spec.flatMap((option) => (option.short === undefined ? [] : [[option.short, option]])));
  }

  short(character: string): ArgumentOption | undefined {
    return this.#byShort.get(character);
  }

  /** By its full name, or by a prefix that only one established option has. */
  long(name: string): ArgumentOption | undefined {
    const exact = this.#byLong.get(name);
    if (exact !== undefined) return exact;
    const candidates = [...this.#byLong.values()].filter((o) => o.established && o.long.startsWith(name));
    if (candidates.length <= 1) return candidates[0];
    const list = candidates.map((option) => `--${option.long}`).join(', ');
    throw new UsageError(`--${name} could mean ${list}; write more of it`, 'AMBIGUOUS_OPTION');
  }

  /** Options that this is a prefix of: ours, since one of the established ones would have been taken. */
  meantByPrefix(name: string): string[] {
    return [...this.#byLong.keys()].filter((long) => name !== '' && long.startsWith(name)).map((long) => `--${long}`);
  }
}

function tokenise(argv: readonly string[], table: OptionTable): Token[] {
  const end = argv.indexOf('--');
  const before = end === -1 ? argv : argv.slice(0, end);
  const after = end === -1 ? [] : argv.slice(end + 1);
  const tokens = before.map((text) => tokenOf(text, table));
  // The first `--` ends the options, and is no value itself.
  return end === -1 ? tokens : [...tokens, { kind: 'end' }, ...after.map((text) => ({ kind: 'other', text }) as const)];
}

function tokenOf(text: string, table: OptionTable): Token {
  // A lone dash is a value: standard input or output.
  if (!text.startsWith('-') || text === '-') return { kind: 'other', text };
  const equals = text.indexOf('=');
  const written = equals === -1 ? text : text.slice(0, equals);
  const attached = equals === -1 ? undefined : text.slice(equals + 1);
  if (text.startsWith('--')) {
    const option = table.long(written.slice(2));
    if (option !== undefined) return { kind: 'option', option, written, attached, bundled: false };
  } else {
    const option = table.short(text.charAt(1));
    if (option !== undefined) {
      if (written.length === 2) return { kind: 'option', option, written, attached, bundled: false };
      return { kind: 'option', option, written: text.slice(0, 2), attached: text.slice(2), bundled: true };
    }
  }
  // As in argparse: no option looks like a negative number or holds a space, so these are values.
  if (/^-\d+$|^-\d*\.\d+$/.test(text) || text.includes(' ')) return { kind: 'other', text };
  throw unknownOption(written, table);
}

function unknownOption(written: string, table: OptionTable): UsageError {
  const meant = written.startsWith('--') ? table.meantByPrefix(written.slice(2)) : [];
  const hint = meant.length > 0 ? `; write ${meant.join(' or ')} in full` : '';
  return new UsageError(`there is no option ${written}${hint}`, 'UNKNOWN_OPTION');
}

interface Expansion {
  words: { option: ArgumentOption; word: string }[];
  /** Whether the argument that follows was taken as the value. */
  tookNext: boolean;
}

/** One option argument, which may be a bundle of short flags with a value at its end. */
function expand(token: Token & { kind: 'option' }, following: string | undefined, table: OptionTable): Expansion {
  const words: Expansion['words'] = [];
  let { option, written, attached } = token;
  while (option.kind === 'flag') {
    words.push({ option, word: `--${option.long}` });
    if (attached === undefined) return { words, tookNext: false };
    const next = token.bundled ? table.short(attached.charAt(0)) : undefined;
    if (next === undefined) {
      if (!token.bundled) throw new UsageError(`${written} takes no value, but got "${attached}"`, 'UNEXPECTED_VALUE');
      throw new UsageError(`there is no option -${attached.charAt(0)}, in ${written}${attached}`, 'UNKNOWN_OPTION');
    }
    option = next;
    written = `-${attached.charAt(0)}`;
    attached = attached.length > 1 ? attached.slice(1) : undefined;
    // -vo=DIR
    if (option.kind !== 'flag' && attached?.startsWith('=')) attached = attached.slice(1);
  }
  const value = attached ?? following ?? (option.kind === 'optionalValue' ? option.bare : undefined);
  if (value === undefined) {
    const name = option.short === undefined ? `--${option.long}` : `-${option.short}/--${option.long}`;
    throw new UsageError(
      `${name} needs a value; one that begins with a dash as --${option.long}=VALUE`,
      'MISSING_VALUE',
    );
  }
  words.push({ option, word: `--${option.long}=${value}` });
  return { words, tookNext: attached === undefined && following !== undefined };
}
