/**
 * What went wrong:
 * - `CONNECT`: no connection to the server (`cause` has the system's error);
 * - `HANDSHAKE`: the server refused an option (`reply` says how, `NBD_REP_ERR_UNKNOWN`: no such export), or the connection
 *   ended before the handshake did;
 * - `TLS`: the server refuses TLS (`reply`), the TLS handshake failed: a wrong certificate, name or key (`cause`), or the server
 *   ends the connection after it, as one does that wants a client certificate;
 * - `TIMEOUT`: connecting and the handshake took longer than `timeoutMs`; a request took longer than its time-out (the
 *   connection stays usable); or the server said nothing for `idleTimeoutMs` while it owed replies (the connection ends);
 * - `PROTOCOL`: the server broke the protocol; the connection is closed and everything in flight has failed;
 * - `REQUEST`: the server answered a request with an error (`errno`); the connection stays usable;
 * - `CLOSED`: the connection has ended, by the server, by `close()` or by `destroy()`;
 * - `UNSUPPORTED`: the server does not offer what was asked for (a command, FUA, a meta context);
 * - `USAGE`: the caller's arguments are wrong (outside the export, not aligned to the minimum block size).
 */
export type NbdErrorCode =
  | 'CONNECT'
  | 'HANDSHAKE'
  | 'TLS'
  | 'TIMEOUT'
  | 'PROTOCOL'
  | 'REQUEST'
  | 'CLOSED'
  | 'UNSUPPORTED'
  | 'USAGE';

/** Fields of an {@link NbdError} besides its code. */
export interface NbdErrorDetails {
  /** The server's error value, such as `EIO`; with code `REQUEST`. */
  errno?: string;
  /** The server's refusal, such as `NBD_REP_ERR_UNKNOWN`; with code `HANDSHAKE` or `TLS`. */
  reply?: string;
  /** Bytes into the export. */
  offset?: number;
  /** Bytes. */
  length?: number;
  cause?: unknown;
}

/** Every error of this package. Tell errors apart by `code`, never by the message. */
export class NbdError extends Error {
  override readonly name = 'NbdError';
  readonly code: NbdErrorCode;
  readonly errno?: string;
  readonly reply?: string;
  readonly offset?: number;
  readonly length?: number;

  constructor(code: NbdErrorCode, message: string, details: NbdErrorDetails = {}) {
    super(message, 'cause' in details ? { cause: details.cause } : undefined);
    this.code = code;
    if (details.errno !== undefined) this.errno = details.errno;
    if (details.reply !== undefined) this.reply = details.reply;
    if (details.offset !== undefined) this.offset = details.offset;
    if (details.length !== undefined) this.length = details.length;
  }
}

/** Text that came from a server, fit to stand in a message: no line breaks, no terminal escapes. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ').trim();
}
