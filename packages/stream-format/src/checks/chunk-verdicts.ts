import { crc32 } from '@virtnbd/checksums';
import type { RandomAccessSource } from '../source.ts';
import type { ChunkChecksums } from './chunk-checksums.ts';

/** Which chunks of a file are what their checksums were made of. */
export class ChunkVerdicts {
  readonly #chunkSize: number;
  readonly #good: Uint8Array;

  private constructor(chunkSize: number, good: Uint8Array) {
    this.#chunkSize = chunkSize;
    this.#good = good;
  }

  /** Reads all of the file. Chunks past its end, and one that it cuts, are bad. */
  static async of(
    source: RandomAccessSource,
    checksums: ChunkChecksums,
    options: { signal?: AbortSignal | undefined; onBytes?: (bytes: number) => void } = {},
  ): Promise<ChunkVerdicts> {
    const { chunkSize, fileSize } = checksums;
    const good = new Uint8Array(checksums.count);
    const buffer = new Uint8Array(Math.min(chunkSize, fileSize));
    for (let chunk = 0; chunk < checksums.count; chunk++) {
      options.signal?.throwIfAborted();
      const offset = chunk * chunkSize;
      const bytes = buffer.subarray(0, Math.min(chunkSize, fileSize - offset));
      if (offset + bytes.length > source.size) break;
      await source.read(offset, bytes);
      good[chunk] = crc32(bytes) === checksums.crc(chunk) ? 1 : 0;
      options.onBytes?.(bytes.length);
    }
    return new ChunkVerdicts(chunkSize, good);
  }

  /** Whether all chunks that hold a part of a range are good. */
  isGood(offset: number, length: number): boolean {
    const ranges = this.goodParts(offset, length);
    return ranges.length === 1 && ranges[0]?.length === length;
  }

  /** The parts of a range that lie in good chunks, in order and joined. */
  goodParts(offset: number, length: number): { offset: number; length: number }[] {
    const parts: { offset: number; length: number }[] = [];
    const end = offset + length;
    for (let at = offset; at < end; ) {
      const chunk = Math.floor(at / this.#chunkSize);
      const to = Math.min(end, (chunk + 1) * this.#chunkSize);
      const last = parts.at(-1);
      if (this.#good[chunk] === 1) {
        if (last !== undefined && last.offset + last.length === at) last.length = to - last.offset;
        else parts.push({ offset: at, length: to - at });
      }
      at = to;
    }
    return parts;
  }
}
