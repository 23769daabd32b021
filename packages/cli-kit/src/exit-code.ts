/** What the commands tell the shell. A signal gives 128 + its number. */
export const ExitCode = {
  DONE: 0,
  FAILED: 1,
  /** Done, but with warnings, under --strict. */
  WARNINGS: 2,
  /** Wrong usage: the same number, as in the established commands. */
  USAGE: 2,
  /** What could be read was salvaged; there are holes. */
  SALVAGED: 3,
} as const;

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

const signalNumbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

/** The signals that ask a command to end. */
export type EndSignal = keyof typeof signalNumbers;
export const endSignals: readonly EndSignal[] = ['SIGHUP', 'SIGINT', 'SIGTERM'];

export function exitCodeOfSignal(signal: EndSignal): number {
  return 128 + signalNumbers[signal];
}

export interface Outcome {
  /** What the command itself returned. */
  returned: ExitCode;
  /** Number of errors and warnings that were logged. */
  errors: number;
  warnings: number;
  strict: boolean;
}

/** The exit code of a command that came to its end. */
export function exitCodeOf({ returned, errors, warnings, strict }: Outcome): ExitCode {
  if (errors > 0) return ExitCode.FAILED;
  if (returned !== ExitCode.DONE) return returned;
  return strict && warnings > 0 ? ExitCode.WARNINGS : ExitCode.DONE;
}
