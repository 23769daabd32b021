/**
 * What went wrong:
 * - `USAGE`: options that cannot be (two exports of one name, a block size that is no power of two, a range outside the source);
 * - `ADDRESS_IN_USE`: the socket's path exists, or the port is taken;
 * - `LISTEN`: the system refuses to listen there (`cause`);
 * - `PROTOCOL`: a client broke the protocol; its connection ends, nobody else's does;
 * - `TIMEOUT`: a client took too long over the handshake;
 * - `TLS`: the TLS handshake with a client failed (`cause`);
 * - `SOURCE`: a source does not keep its contract (extents with a gap, or past its end);
 * - `OVERLAY_FORMAT`: the file is no overlay of ours, or it is damaged;
 * - `OVERLAY_MISMATCH`: it is an overlay of another disk;
 * - `OVERLAY_FAILED`: the overlay's file could not be brought to stable storage; it takes no more writes.
 */
export type NbdServerErrorCode =
  | 'USAGE'
  | 'ADDRESS_IN_USE'
  | 'LISTEN'
  | 'PROTOCOL'
  | 'TIMEOUT'
  | 'TLS'
  | 'SOURCE'
  | 'OVERLAY_FORMAT'
  | 'OVERLAY_MISMATCH'
  | 'OVERLAY_FAILED';

/** Every error of this package. Tell errors apart by `code`, never by the message. */
export class NbdServerError extends Error {
  override readonly name = 'NbdServerError';
  readonly code: NbdServerErrorCode;

  constructor(code: NbdServerErrorCode, message: string, details: { cause?: unknown } = {}) {
    super(message, 'cause' in details ? { cause: details.cause } : undefined);
    this.code = code;
  }
}
