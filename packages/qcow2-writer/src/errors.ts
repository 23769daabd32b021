/**
 * Why there is no such image:
 * - `BAD_HEADER`: the bytes are no header of a qcow2 image, or of a damaged one;
 * - `UNSUPPORTED`: the image has a feature that this package does not write;
 * - `TOO_LARGE`: more data than the format's tables can hold with clusters of this size.
 */
export type Qcow2ErrorCode = 'BAD_HEADER' | 'UNSUPPORTED' | 'TOO_LARGE';

/** An image that cannot be written. Tell errors apart by `code`. */
export class Qcow2Error extends Error {
  override readonly name = 'Qcow2Error';
  readonly code: Qcow2ErrorCode;

  constructor(code: Qcow2ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
