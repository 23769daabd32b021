/**
 * What is wrong with the bytes:
 * - `TRUNCATED`: they end inside a field;
 * - `BAD_MAGIC`: another protocol, or the stream has slipped;
 * - `BAD_LENGTH`: a length that the message's type forbids;
 * - `BAD_VALUE`: a field with a value that the specification forbids;
 * - `LIMIT`: longer than the specification allows a string or list to be;
 * - `OUT_OF_RANGE`: a 64-bit number past `Number.MAX_SAFE_INTEGER`, or a number that does not fit its field.
 */
export type NbdCodecErrorCode = 'TRUNCATED' | 'BAD_MAGIC' | 'BAD_LENGTH' | 'BAD_VALUE' | 'LIMIT' | 'OUT_OF_RANGE';

/** The bytes break the NBD protocol, or a value cannot be put into it. Tell errors apart by `code`. */
export class NbdCodecError extends Error {
  override readonly name = 'NbdCodecError';
  readonly code: NbdCodecErrorCode;

  constructor(code: NbdCodecErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
