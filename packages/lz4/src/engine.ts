/** Who does the work: the system's liblz4, or the library that comes with lz4-napi. */
export type Lz4EngineName = 'liblz4' | 'lz4-napi';

/** Makes and opens LZ4 frames, off the main thread. */
export interface Lz4Engine {
  readonly name: Lz4EngineName;
  /** Of the library that does the work, such as `1.9.4`. */
  readonly version: string;
  /** The highest level: 12, or 2 without levels. Levels 1 and 2 are the fast compressor. */
  readonly maximumLevel: number;

  /**
   * Compresses `source` to one LZ4 frame at the start of `target`: linked blocks of 64 KiB, each with its checksum.
   * Neither buffer may change, nor be read or used again, before the promise settles.
   *
   * @param target at least `compressBound(source.length)` bytes
   * @param level 1 … `maximumLevel`
   * @returns bytes of the frame
   * @throws Lz4Error USAGE
   */
  compress(source: Uint8Array, target: Uint8Array, level: number): Promise<number>;

  /**
   * Decompresses one LZ4 frame that is all of `source` and fills all of `target`; its checksums are verified. The
   * buffers are in use until the promise settles.
   *
   * @param options.skipChecksums for a source that was verified by other means: they are most of the work (a hint:
   *   lz4-napi verifies always)
   * @throws Lz4Error BAD_FRAME; the target then holds anything
   */
  decompress(source: Uint8Array, target: Uint8Array, options?: { skipChecksums?: boolean }): Promise<void>;
}

/** The most bytes that `compress` may need for `length` bytes: every block stored as it is, all checksums. */
export function compressBound(length: number): number {
  return 19 + length + 8 * Math.max(1, Math.ceil(length / 65536)) + 8;
}
