import { createHash } from 'node:crypto';
import { crc32 } from '@virtnbd/checksums';
import { HostError } from '@virtnbd/host';
import type { ChunkChecksums, RandomAccessSource } from '@virtnbd/stream-format';
import { RangeList } from '@virtnbd/virtual-disk';

const BLOCK = 1024 * 1024;

export interface ReadOptions {
  signal?: AbortSignal | undefined;
  onBytes?: ((bytes: number) => void) | undefined;
}

/** Takes the bytes of a file in order. */
interface Digest {
  update(bytes: Uint8Array): void;
}

/**
 * Reads a whole file once, a block ahead of the digests.
 *
 * @returns ranges that could not be read; the digests got zeroes for them
 */
export async function readWhole(
  source: RandomAccessSource,
  digests: readonly Digest[],
  options: ReadOptions = {},
): Promise<RangeList> {
  const unreadable = new RangeList();
  const buffers = [new Uint8Array(BLOCK), new Uint8Array(BLOCK)] as const;
  const read = async (offset: number): Promise<Uint8Array> => {
    const buffer = buffers[(offset / BLOCK) % 2 === 0 ? 0 : 1].subarray(0, Math.min(BLOCK, source.size - offset));
    if (!(await readBlock(source, offset, buffer))) unreadable.add(offset, offset + buffer.length);
    return buffer;
  };
  let ahead = source.size > 0 ? read(0) : null;
  for (let offset = 0; ahead !== null; offset += BLOCK) {
    const block = await ahead;
    const more: boolean = offset + BLOCK < source.size;
    ahead = more ? read(offset + BLOCK) : null;
    // Whoever stops here has waited for the read that is under way: its buffer is not written any more.
    if (options.signal?.aborted) {
      await ahead?.catch(() => undefined);
      throw options.signal.reason;
    }
    for (const digest of digests) digest.update(block);
    options.onBytes?.(block.length);
  }
  return unreadable;
}

/** False, and zeroes, for a block that the disk does not give. */
async function readBlock(source: RandomAccessSource, offset: number, buffer: Uint8Array): Promise<boolean> {
  try {
    await source.read(offset, buffer);
    return true;
  } catch (error) {
    if (!(error instanceof HostError) || (error.code !== 'IO' && error.code !== 'SHORT_READ')) throw error;
    buffer.fill(0);
    return false;
  }
}

/** Compares chunk by chunk as the bytes come. */
export class ChunkComparison implements Digest {
  readonly damaged = new RangeList();
  readonly #chunks: ChunkChecksums;
  #chunk = 0;
  #inChunk = 0;
  #crc = 0;

  constructor(chunks: ChunkChecksums) {
    this.#chunks = chunks;
  }

  update(bytes: Uint8Array): void {
    const { chunkSize } = this.#chunks;
    for (let position = 0; position < bytes.length; ) {
      const part = bytes.subarray(position, position + chunkSize - this.#inChunk);
      this.#crc = crc32(part, this.#crc);
      this.#inChunk += part.length;
      position += part.length;
      if (this.#inChunk === chunkSize) this.#endChunk();
    }
  }

  /** Call after the last byte. What is missing counts as damaged. */
  finish(): RangeList {
    if (this.#inChunk > 0) this.#endChunk();
    this.damaged.add(this.#chunk * this.#chunks.chunkSize, this.#chunks.fileSize);
    return this.damaged;
  }

  #endChunk(): void {
    const { chunkSize, count, fileSize } = this.#chunks;
    const start = this.#chunk * chunkSize;
    const differs = this.#chunk >= count || this.#chunks.crc(this.#chunk) !== this.#crc;
    // A chunk that is cut off is damaged up to its end.
    const end = Math.max(start + this.#inChunk, Math.min(start + chunkSize, fileSize));
    if (differs) this.damaged.add(start, end);
    this.#chunk++;
    this.#inChunk = 0;
    this.#crc = 0;
  }
}

/** SHA-256 of a whole file, as hex digits; null when a part could not be read. */
export async function sha256Of(source: RandomAccessSource, options: ReadOptions): Promise<string | null> {
  const hash = createHash('sha256');
  const unreadable = await readWhole(source, [{ update: (bytes) => void hash.update(bytes) }], options);
  return unreadable.count > 0 ? null : hash.digest('hex');
}
