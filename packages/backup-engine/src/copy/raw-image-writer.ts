import type { HostFile } from '@virtnbd/host';
import { type ChunkChecksums, ChunkHasher, DEFAULT_CHUNK_BYTES } from '@virtnbd/stream-format';
import type { FrameWriter } from './copy-disk.ts';

const ZEROES = new Uint8Array(1 << 20);
/** So that the checksums of the largest disk fit into a few MiB. */
const MOST_CHUNKS = 1 << 20;
const LARGEST_CHUNK = 16 << 20;

/**
 * Writes a plain raw image. What is zero is left out, so the file is sparse; the checksums are those of its content all
 * the same.
 */
export class RawImageWriter implements FrameWriter {
  readonly #file: Pick<HostFile, 'writeAt' | 'truncate'>;
  readonly #size: number;
  readonly #hasher: ChunkHasher;
  #end = 0;
  #last: Promise<void> = Promise.resolve();

  /** @param file empty, open for writing @param size bytes of the disk */
  constructor(file: Pick<HostFile, 'writeAt' | 'truncate'>, size: number) {
    this.#file = file;
    this.#size = size;
    let chunkSize = DEFAULT_CHUNK_BYTES;
    while (size / chunkSize > MOST_CHUNKS && chunkSize < LARGEST_CHUNK) chunkSize *= 2;
    this.#hasher = new ChunkHasher(chunkSize);
  }

  data(start: number, payload: Uint8Array): Promise<void> {
    return this.#inOrder(start, payload.length, async () => {
      this.#hasher.update(payload);
      if (!isZero(payload)) await this.#file.writeAt(start, payload);
    });
  }

  zero(start: number, length: number): Promise<void> {
    return this.#inOrder(start, length, async () => this.#hasher.updateZeroes(length));
  }

  /** Gives the file its full size. Call once, after the last frame. */
  async finish(): Promise<{ size: number; chunks: ChunkChecksums }> {
    await this.#last;
    if (this.#end !== this.#size) throw new Error(`a raw image of ${this.#size} bytes ends at ${this.#end}`);
    await this.#file.truncate(this.#size);
    return { size: this.#size, chunks: this.#hasher.finish() };
  }

  /** Calls may overlap; a checksum takes the bytes in their order. */
  #inOrder(start: number, length: number, write: () => Promise<void>): Promise<void> {
    if (start !== this.#end) throw new Error(`a frame at ${start} of a raw image that has come to ${this.#end}`);
    this.#end = start + length;
    this.#last = this.#last.then(write);
    return this.#last;
  }
}

function isZero(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).equals(ZEROES.subarray(0, bytes.length));
}
