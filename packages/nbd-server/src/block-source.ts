/** What each call of a source gets. */
export interface SourceOptions {
  /** Aborts when nobody waits for the answer any more: the client has gone, or the server closes. */
  signal?: AbortSignal;
}

/** A range of a source. Neighbours may be of the same kind. */
export interface SourceExtent {
  /** Bytes into the source. */
  readonly start: number;
  /** Bytes, at least 1. */
  readonly length: number;
  /** `zero`: it reads as zeroes, and takes no space. */
  readonly kind: 'data' | 'zero';
}

/**
 * What an export shows: bytes at offsets. Calls overlap, several at a time from one client and from several clients; ranges
 * lie inside the source. A call that rejects fails that one request of the client, with `EIO` (or `ENOSPC`, where the
 * error's `errno` or `code` says so, for a write).
 */
export interface BlockSource {
  /** Bytes. It never changes. */
  readonly size: number;

  /** Fills the whole buffer. The buffer belongs to the source until the promise settles, and not after it resolves. */
  read(offset: number, buffer: Uint8Array, options?: SourceOptions): Promise<void>;

  /**
   * In order and without gaps, from `offset` on or before it, at least up to `offset + length`. The server stops reading
   * where it has enough. Without it there is no block status.
   */
  extents?(
    offset: number,
    length: number,
    options?: SourceOptions,
  ): Iterable<SourceExtent> | AsyncIterable<SourceExtent>;

  /** Without it the export is read-only. The data belongs to the source until the promise settles. */
  write?(offset: number, data: Uint8Array, options?: SourceOptions): Promise<void>;

  /** Makes the range read as zeroes. Its length may be that of the whole source. */
  writeZeroes?(offset: number, length: number, options?: SourceOptions): Promise<void>;

  /** The range is not needed any more; what it reads as is up to the source. */
  trim?(offset: number, length: number, options?: SourceOptions): Promise<void>;

  /** Resolves when every write that had resolved before the call is on stable storage. */
  flush?(options?: SourceOptions): Promise<void>;
}
