/** Why a restore failed; stable, to be matched by programs. */
export type RestoreErrorCode =
  | 'EMPTY_FOLDER'
  | 'UNKNOWN_DISK'
  | 'TARGET_EXISTS'
  | 'TARGET_BUSY'
  | 'NAME_CLASH'
  | 'BAD_IMAGE_OPTIONS'
  | 'WRITE_FAILED'
  | 'NO_SPACE';

/** A restore that could not be made; the message says what happened, to what, and what to do. */
export class RestoreError extends Error {
  override readonly name = 'RestoreError';
  readonly code: RestoreErrorCode;
  /** The disk's target name, where one disk is to blame. */
  readonly disk: string | undefined;

  constructor(code: RestoreErrorCode, message: string, options: { cause?: unknown; disk?: string } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.disk = options.disk;
  }
}
