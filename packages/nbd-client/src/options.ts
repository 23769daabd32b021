import type { NbdTlsOptions } from './tls.ts';

/** Options of everything that can be given up. */
export interface AbortOptions {
  /** Aborts the call: it rejects with the signal's reason. The connection stays usable. */
  signal?: AbortSignal;
}

/** Options of every request. */
export interface RequestOptions extends AbortOptions {
  /**
   * Milliseconds after which the call rejects with `TIMEOUT`; the connection stays usable. `requestTimeoutMs` of the
   * connection unless told, 0 for none.
   */
  timeoutMs?: number;
}

/** Options of reaching a server at all. */
export interface HandshakeOptions extends AbortOptions {
  /** For connecting and the handshake together, milliseconds; 30 000 unless told. */
  timeoutMs?: number;
  /** Encrypt, and check who the server is; `true` for the authorities that node knows. Without it, plain text. */
  tls?: NbdTlsOptions | true;
  /** How long a TCP connection is idle before the system asks whether the other side is there, milliseconds; 30 000 unless told. */
  keepAliveMs?: number;
}

/**
 * Connections for a link whose answers take their time: what is on the wire of one is limited, by `maxBytesInFlight` here
 * and over ssh to 2 MiB.
 */
export const LINK_CONNECTIONS = 4;

/** Options of a connection to an export. */
export interface ConnectOptions extends HandshakeOptions {
  /** The server's default export where it is left out. */
  exportName?: string;
  /** Meta contexts to ask for, such as `base:allocation`. What was granted is in the client's `metaContexts`. */
  metaContexts?: readonly string[];
  /** Ask for extended headers (64-bit lengths); true unless told. Servers without them lose nothing. */
  extendedHeaders?: boolean;
  /** Connections to share the work, 1 to 16, where the server says CAN_MULTI_CONN; otherwise, and unless told, one. */
  connections?: number;
  /** Requests that a connection has on the wire at most; 32 unless told. */
  maxRequestsInFlight?: number;
  /** Bytes of payload that a connection has on the wire at most, either way; 4 MiB unless told. */
  maxBytesInFlight?: number;
  /** Milliseconds that each call may take; 0, for ever, unless told. */
  requestTimeoutMs?: number;
  /**
   * Milliseconds that the server may say nothing while it owes replies; then the connection ends with `TIMEOUT`. 0, for
   * ever, unless told: a server may lawfully take minutes for a flush.
   */
  idleTimeoutMs?: number;
  /**
   * Connect again when the connection is lost, and repeat the reads and block-status requests that were in flight. Off
   * unless told. It never happens once something was written: what the old connection had not flushed may be gone.
   */
  reconnect?: ReconnectOptions;
}

/** How often and how fast to connect again. */
export interface ReconnectOptions {
  /** Attempts, each with the connection's `timeoutMs`, for one loss and for one call; 5 unless told. */
  attempts?: number;
  /** Milliseconds before each attempt; 500 unless told. */
  delayMs?: number;
}

/** Options of a read. */
export interface ReadOptions extends RequestOptions {
  /**
   * One request, answered in one piece (NBD_CMD_FLAG_DF). The range must fit the server's maximum and its alignment;
   * `UNSUPPORTED` where {@link ExportProperties.canDontFragment} is false.
   */
  dontFragment?: boolean;
  /**
   * Let the socket fill the buffers itself, which spares a copy. After an abort, a time-out or a failure they may then still be
   * written to, until the client has been closed or destroyed. Not for TLS and streams of others, where it means nothing.
   */
  inPlace?: boolean;
}

/** Options of whatever changes the export. */
export interface WriteOptions extends RequestOptions {
  /** Answer only when the data is on stable storage (NBD_CMD_FLAG_FUA). */
  fua?: boolean;
}

/** Options of writing zeroes. */
export interface WriteZeroesOptions extends WriteOptions {
  /** Allocate the range, do not punch a hole (NBD_CMD_FLAG_NO_HOLE). */
  noHole?: boolean;
  /** Fail with `ENOTSUP` rather than be as slow as a write (NBD_CMD_FLAG_FAST_ZERO). */
  fastZero?: boolean;
}

/** Options of a walk over block status. `timeoutMs` holds for each request of it. */
export interface ExtentsOptions extends RequestOptions {
  /** Contexts to walk, all granted ones unless told; they give the order of `flags`. */
  contexts?: readonly string[];
  /** Bytes into the export; 0 unless told. */
  offset?: number;
  /** Bytes; up to the export's end unless told. */
  length?: number;
  /** Ask for one extent at a time (NBD_CMD_FLAG_REQ_ONE): for a look at one place, slow for a walk. */
  requestOne?: boolean;
}
