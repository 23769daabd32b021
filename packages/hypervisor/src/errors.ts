/** Why a hypervisor cannot be used as asked; stable, to be matched by programs. */
export type HypervisorErrorCode =
  | 'BAD_OPTIONS' // what was asked for does not go together
  | 'CERTIFICATES'; // the TLS certificates cannot be read

/** A hypervisor that cannot be used as asked; the message says what to do. */
export class HypervisorError extends Error {
  override readonly name = 'HypervisorError';
  readonly code: HypervisorErrorCode;

  constructor(code: HypervisorErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
  }
}
