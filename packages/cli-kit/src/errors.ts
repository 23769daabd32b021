import type { EndSignal } from './exit-code.ts';

export type CliErrorCode =
  | 'UNKNOWN_OPTION'
  | 'AMBIGUOUS_OPTION'
  | 'MISSING_VALUE'
  | 'UNEXPECTED_VALUE'
  | 'INVALID_USAGE'
  | 'INTERRUPTED'
  | 'NO_SYSLOG';

/** Every error of this package. Match by `code`. */
export class CliError extends Error {
  override readonly name: string = 'CliError';
  readonly code: CliErrorCode;

  constructor(code: CliErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A command line that means nothing: exit code 2. Commands throw it too, for options that exclude each other. */
export class UsageError extends CliError {
  override readonly name = 'UsageError';

  constructor(message: string, code: Exclude<CliErrorCode, 'INTERRUPTED'> = 'INVALID_USAGE', options?: ErrorOptions) {
    super(code, message, options);
  }
}

/** The reason of the abort when a signal asked the command to end. */
export class InterruptedError extends CliError {
  override readonly name = 'InterruptedError';
  readonly signal: EndSignal;

  constructor(signal: EndSignal) {
    super('INTERRUPTED', `interrupted by ${signal}`);
    this.signal = signal;
  }
}
