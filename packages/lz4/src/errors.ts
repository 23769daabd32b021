/** What went wrong, stable across versions. Match on this, never on the text of a message. */
export type Lz4ErrorCode =
  /** The bytes are no LZ4 frame, are damaged, or hold more or fewer bytes than the target. */
  | 'BAD_FRAME'
  /** Neither liblz4 nor lz4-napi can be loaded. */
  | 'LIBRARY_MISSING'
  /** A level that the engine does not have, or a target that is too small. */
  | 'USAGE';

/** The error class of this package. */
export class Lz4Error extends Error {
  override readonly name = 'Lz4Error';
  readonly code: Lz4ErrorCode;

  constructor(code: Lz4ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
