/** A stream file that can be read at any offset. */
export interface RandomAccessSource {
  /** Size of the file, in bytes. */
  readonly size: number;
  /** Fills the whole buffer from `offset`, or rejects. Never called for bytes past `size`. */
  read(offset: number, buffer: Uint8Array): Promise<void>;
  /** Told that these bytes will be read soon. A source that can do nothing with that leaves it out. */
  prefetch?(offset: number, length: number): void;
}

/** Where a stream file is written to. */
export interface Sink {
  /**
   * Appends all chunks in order, or rejects. The buffers may be used again once it resolves. Calls overlap, and take effect in
   * their order.
   */
  write(chunks: readonly Uint8Array[]): Promise<void>;
}

/** A source over bytes in memory. The bytes are not copied. */
export function bytesSource(bytes: Uint8Array): RandomAccessSource {
  return {
    size: bytes.length,
    async read(offset, buffer) {
      if (offset < 0 || offset + buffer.length > bytes.length) {
        throw new RangeError(`Read of ${buffer.length} bytes at ${offset}, past the end at ${bytes.length}`);
      }
      buffer.set(bytes.subarray(offset, offset + buffer.length));
    },
  };
}
