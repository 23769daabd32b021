import { crc32 } from '@virtnbd/checksums';
import { StreamFormatError } from '../errors.ts';
import { SpareBuffers } from '../read/spare-buffers.ts';
import type { RandomAccessSource } from '../source.ts';
import { BlockSums, SUM_BLOCK } from './block-sums.ts';
import { ChunkCache } from './chunk-cache.ts';
import type { ChunkChecksums } from './chunk-checksums.ts';

/** Chunks kept for the reads that come after: the end of one frame and the start of the next share a chunk. */
const CACHE_BYTES = 4 * 1024 * 1024;
const SMALLEST_CACHE = 4;
/** Reads up to here may be all over the file: of a chunk that was found whole only their own blocks are read again. */
const SMALL_READ_BYTES = 16 * 1024;
/** Buffers for them. */
const SMALL_BUFFERS = 16;

/**
 * A source whose every read is checked: it never gives bytes of a chunk whose checksum differs. Chunks that a read
 * covers whole are read straight into the caller's buffer; those at its ends go through a small cache.
 *
 * Reads reject with StreamFormatError CHECKSUM, `fileOffset` being the start of the damaged chunk.
 *
 * @throws StreamFormatError CHECKSUM when the source has not the size that the checksums were made of
 */
export function checkedSource(source: RandomAccessSource, chunks: ChunkChecksums): CheckedSource {
  if (source.size !== chunks.fileSize) {
    throw new StreamFormatError(
      'CHECKSUM',
      `The file has ${source.size} bytes, but its checksums were made of ${chunks.fileSize}: it was cut off or changed`,
      { fileOffset: Math.min(source.size, chunks.fileSize) },
    );
  }
  return new CheckedSource(source, chunks);
}

/** What `checkedSource` gives. `StreamFile.open` knows it, and takes the frame table from its checksums. */
export class CheckedSource implements RandomAccessSource {
  readonly size: number;
  readonly checksums: ChunkChecksums;
  readonly #source: RandomAccessSource;
  readonly #chunks: ChunkChecksums;
  readonly #cache: ChunkCache;
  readonly #cacheCount: number;
  readonly #sums: BlockSums;
  readonly #smallBuffers = new SpareBuffers(SMALL_BUFFERS);

  /** Use `checkedSource`. Here the file may be shorter than its checksums say: reads past its end are refused. */
  constructor(source: RandomAccessSource, chunks: ChunkChecksums) {
    this.size = chunks.fileSize;
    this.checksums = chunks;
    this.#source = source;
    this.#chunks = chunks;
    this.#cacheCount = Math.max(SMALLEST_CACHE, Math.floor(CACHE_BYTES / chunks.chunkSize));
    this.#cache = new ChunkCache(this.#cacheCount);
    this.#sums = new BlockSums(chunks.chunkSize, chunks.count);
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    const end = offset + buffer.length;
    if (!Number.isSafeInteger(offset) || offset < 0 || end > this.size) {
      throw new StreamFormatError('OUT_OF_RANGE', `Read of ${buffer.length} bytes at ${offset} of ${this.size}`, {
        fileOffset: offset,
      });
    }
    if (buffer.length === 0) return;
    const size = this.#chunks.chunkSize;
    // A chunk counts as whole also when it is the last and the read goes to the end of the file.
    const firstWhole = Math.ceil(offset / size);
    const afterWhole = end === this.size ? this.#chunks.count : Math.floor(end / size);
    if (firstWhole >= afterWhole) {
      const last = Math.floor((end - 1) / size);
      const parts = [this.#copyPart(Math.floor(offset / size), offset, buffer)];
      if (last !== Math.floor(offset / size)) parts.push(this.#copyPart(last, offset, buffer));
      await settled(parts);
      return;
    }
    const parts: Promise<void>[] = [this.#readWhole(firstWhole, afterWhole, offset, buffer)];
    if (offset < firstWhole * size) parts.push(this.#copyPart(firstWhole - 1, offset, buffer));
    if (end > this.#chunkEnd(afterWhole - 1)) parts.push(this.#copyPart(afterWhole, offset, buffer));
    await settled(parts);
  }

  /** Begins to load the chunks of which a later read will need a part; a failure is that read's to report. */
  prefetch(offset: number, length: number): void {
    const last = Math.min(Math.floor((offset + length - 1) / this.#chunks.chunkSize), this.#chunks.count - 1);
    const first = Math.max(0, Math.floor(offset / this.#chunks.chunkSize));
    // Not so many that they would push one another out of the cache.
    for (let chunk = first; chunk <= Math.min(last, first + this.#cacheCount / 2); chunk++) {
      this.#cache.prefetch(chunk, this.#chunkLength(chunk), (bytes) => this.#load(chunk, bytes));
    }
  }

  #chunkEnd(chunk: number): number {
    return Math.min((chunk + 1) * this.#chunks.chunkSize, this.size);
  }

  /** Reads the chunks `first` … `after` − 1 into their place in `buffer`, which begins at `offset`, and checks them. */
  async #readWhole(first: number, after: number, offset: number, buffer: Uint8Array): Promise<void> {
    const start = first * this.#chunks.chunkSize;
    const place = buffer.subarray(start - offset, this.#chunkEnd(after - 1) - offset);
    await this.#readSource(start, place);
    for (let chunk = first; chunk < after; chunk++) {
      const from = chunk * this.#chunks.chunkSize;
      this.#check(chunk, place.subarray(from - start, this.#chunkEnd(chunk) - start));
    }
  }

  /** Copies what `buffer`, which begins at `offset`, has of a chunk. */
  async #copyPart(chunk: number, offset: number, buffer: Uint8Array): Promise<void> {
    const start = chunk * this.#chunks.chunkSize;
    const from = Math.max(offset, start);
    const to = Math.min(offset + buffer.length, this.#chunkEnd(chunk));
    const place = buffer.subarray(from - offset, to - offset);
    const small = buffer.length <= SMALL_READ_BYTES;
    if (small && !this.#cache.has(chunk) && this.#sums.has(chunk)) {
      await this.#readBlocks(chunk, from - start, place);
      return;
    }
    const load = (bytes: Uint8Array) => (small ? this.#loadAndLearn(chunk, bytes) : this.#load(chunk, bytes));
    await this.#cache.use(chunk, this.#chunkLength(chunk), load, (bytes) => {
      place.set(bytes.subarray(from - start, to - start));
    });
  }

  /** Fills `place` with bytes of a chunk that was found whole before, from `from` in it, by the blocks that they lie in. */
  async #readBlocks(chunk: number, from: number, place: Uint8Array): Promise<void> {
    const first = Math.floor(from / SUM_BLOCK) * SUM_BLOCK;
    const after = Math.ceil((from + place.length) / SUM_BLOCK) * SUM_BLOCK;
    const bytes = this.#smallBuffers.take(Math.min(after, this.#chunkLength(chunk)) - first);
    await this.#readSource(chunk * this.#chunks.chunkSize + first, bytes);
    // Another chunk may have taken the place of its sums meanwhile.
    if (!this.#sums.has(chunk)) await this.#copyPart(chunk, chunk * this.#chunks.chunkSize + from, place);
    else if (this.#sums.match(chunk, first, bytes))
      place.set(bytes.subarray(from - first, from - first + place.length));
    else throw this.#damaged(chunk);
    this.#smallBuffers.give(bytes);
  }

  async #load(chunk: number, bytes: Uint8Array): Promise<void> {
    await this.#readSource(chunk * this.#chunks.chunkSize, bytes);
    this.#check(chunk, bytes);
  }

  /** As `#load`; later small reads of the chunk need but their own blocks. */
  async #loadAndLearn(chunk: number, bytes: Uint8Array): Promise<void> {
    await this.#readSource(chunk * this.#chunks.chunkSize, bytes);
    if (!this.#sums.learn(chunk, bytes, this.#chunks.crc(chunk))) throw this.#damaged(chunk);
  }

  #chunkLength(chunk: number): number {
    return this.#chunkEnd(chunk) - chunk * this.#chunks.chunkSize;
  }

  async #readSource(offset: number, bytes: Uint8Array): Promise<void> {
    if (offset + bytes.length <= this.#source.size) return await this.#source.read(offset, bytes);
    throw new StreamFormatError('CHECKSUM', `The file ends at byte ${this.#source.size}: it was cut off`, {
      fileOffset: offset,
    });
  }

  #check(chunk: number, bytes: Uint8Array): void {
    if (crc32(bytes) !== this.#chunks.crc(chunk)) throw this.#damaged(chunk);
  }

  #damaged(chunk: number): StreamFormatError {
    const fileOffset = chunk * this.#chunks.chunkSize;
    return new StreamFormatError(
      'CHECKSUM',
      `The file is damaged between byte ${fileOffset} and byte ${this.#chunkEnd(chunk)}: the checksum differs`,
      { fileOffset },
    );
  }
}

/** Waits until every part has ended, so that none writes to the buffer later; then rejects with the first error. */
async function settled(parts: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(parts)) if (result.status === 'rejected') throw result.reason;
}
