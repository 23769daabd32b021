/** `LIBRARY_MISSING`: the engine that was named cannot be loaded; `cause` says why. */
export class ChecksumError extends Error {
  override readonly name = 'ChecksumError';
  readonly code: 'LIBRARY_MISSING';

  constructor(code: 'LIBRARY_MISSING', message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
