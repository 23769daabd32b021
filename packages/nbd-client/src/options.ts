export interface AbortOptions {
  /** Aborts the call: it rejects with the signal's reason. The connection stays usable. */
  signal?: AbortSignal;
}

export interface ConnectOptions extends AbortOptions {
  /** The server's default export where it is left out. */
  exportName?: string;
  /** Meta contexts to ask for, such as `base:allocation`. What was granted is in the client's `metaContexts`. */
  metaContexts?: readonly string[];
  /** For connecting and the handshake together, milliseconds; 30 000 unless told. */
  timeoutMs?: number;
}

export interface WriteOptions extends AbortOptions {
  /** Answer only when the data is on stable storage (NBD_CMD_FLAG_FUA). */
  fua?: boolean;
}

export interface WriteZeroesOptions extends WriteOptions {
  /** Allocate the range, do not punch a hole (NBD_CMD_FLAG_NO_HOLE). */
  noHole?: boolean;
}

export interface ExtentsOptions extends AbortOptions {
  /** Contexts to walk, all granted ones unless told; they give the order of `flags`. */
  contexts?: readonly string[];
  /** Bytes into the export; 0 unless told. */
  offset?: number;
  /** Bytes; up to the export's end unless told. */
  length?: number;
}
