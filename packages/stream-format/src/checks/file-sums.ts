import { Adler32 } from './adler32.ts';
import type { Adler32Kernel } from './adler32-kernel.ts';
import { type ChunkChecksums, ChunkHasher, DEFAULT_CHUNK_BYTES } from './chunk-checksums.ts';
import type { SegmentSums } from './segment-sums.ts';
import { sumsThread } from './sums-thread.ts';

/** Makes the checksums of a file whose bytes come segment by segment; of shared memory beside this thread. */
export class FileSums {
  readonly #chunkSize: number;
  readonly #adler32 = new Adler32();
  readonly #hasher: ChunkHasher;
  /** Sums are put together in the order of the file. */
  #last: Promise<void> = Promise.resolve();

  constructor(chunkSize = DEFAULT_CHUNK_BYTES) {
    this.#chunkSize = chunkSize;
    this.#hasher = new ChunkHasher(chunkSize);
  }

  /**
   * Takes the next bytes, which must not change before the promise resolves. It never rejects.
   *
   * @param kernel one over their memory
   */
  update(bytes: Uint8Array, kernel?: Adler32Kernel): Promise<void> {
    const sums = this.#beside(bytes);
    const before = this.#last;
    this.#last = (async () => {
      const made = await sums;
      await before;
      if (made === undefined) {
        if (kernel === undefined) this.#adler32.update(bytes);
        else this.#adler32.updateInPlace(bytes, kernel);
        this.#hasher.update(bytes);
      } else {
        this.#adler32.append(made.adler32, bytes.length);
        this.#hasher.append(made.crcs, bytes.length);
      }
    })();
    return this.#last;
  }

  /** Call once, after the last byte. */
  async finish(frameTable: Uint8Array): Promise<{ adler32: number; chunks: ChunkChecksums }> {
    await this.#last;
    return { adler32: this.#adler32.value, chunks: this.#hasher.finish(frameTable) };
  }

  /** Only of whole chunks: these stand for themselves. */
  #beside(bytes: Uint8Array): Promise<SegmentSums> | undefined {
    if (!(bytes.buffer instanceof SharedArrayBuffer) || bytes.length % this.#chunkSize !== 0) return undefined;
    return sumsThread()?.sums(bytes, this.#chunkSize);
  }
}
