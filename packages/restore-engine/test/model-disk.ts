import fc from 'fast-check';
import type { ContentExtent, DiskContent } from '../src/source/content.ts';

interface Range {
  readonly start: number;
  readonly length: number;
}

interface ModelOptions {
  /** Only where the data lies is not told: all is data. */
  readonly sparseUnknown?: boolean;
  /** Reads of this byte fail. */
  readonly failsAt?: number;
}

/** A disk in memory. */
export class ModelDisk implements DiskContent {
  readonly bytes: Buffer;
  readonly data: readonly Range[];
  readonly dataBytes: number;
  readonly sparseUnknown: boolean;
  readonly #failsAt: number;
  readsUnderWay = 0;

  /** @param data ranges in ascending order, none touching the next */
  constructor(size: number, data: readonly Range[], { sparseUnknown = false, failsAt = size }: ModelOptions = {}) {
    this.bytes = Buffer.alloc(size);
    this.data = data;
    for (const { start, length } of data)
      for (let at = start; at < start + length; at += 256)
        this.bytes.fill(1 + ((at * 7) % 255), at, Math.min(at + 256, start + length));
    this.sparseUnknown = sparseUnknown;
    this.dataBytes = sparseUnknown ? size : data.reduce((sum, { length }) => sum + length, 0);
    this.#failsAt = failsAt;
  }

  get size(): number {
    return this.bytes.length;
  }

  *extents(): Generator<ContentExtent> {
    if (this.sparseUnknown && this.size > 0) return yield { start: 0, length: this.size, kind: 'data' };
    let end = 0;
    for (const { start, length } of this.data) {
      if (start > end) yield { start: end, length: start - end, kind: 'zero' };
      yield { start, length, kind: 'data' };
      end = start + length;
    }
    if (this.size > end) yield { start: end, length: this.size - end, kind: 'zero' };
  }

  async read(offset: number, buffer: Uint8Array, options: { signal?: AbortSignal } = {}): Promise<void> {
    options.signal?.throwIfAborted();
    this.readsUnderWay++;
    // The later in the disk, the longer.
    for (let at = 0; at <= offset; at += 1 << 20) await new Promise((resolve) => setImmediate(resolve));
    this.readsUnderWay--;
    const end = offset + buffer.length;
    if (end > this.size) throw new RangeError(`a read of ${buffer.length} bytes at ${offset} of ${this.size}`);
    if (offset <= this.#failsAt && this.#failsAt < end)
      throw new Error(`${buffer.length} bytes at ${offset} cannot be read`);
    buffer.set(this.bytes.subarray(offset, end));
  }
}

/** Disks of up to 3 MiB, some of a size that is no multiple of a sector, with data anywhere. */
export const modelDisk: fc.Arbitrary<ModelDisk> = fc
  .record({
    size: fc.integer({ min: 0, max: 3 << 20 }),
    ranges: fc.array(fc.tuple(fc.integer({ min: 1, max: 200_000 }), fc.integer({ min: 1, max: 300_000 })), {
      maxLength: 30,
    }),
    sparseUnknown: fc.boolean(),
  })
  .map(({ size, ranges, sparseUnknown }) => {
    const data: Range[] = [];
    let end = -1;
    for (const [gap, length] of ranges) {
      const start = end + gap;
      if (start >= size) break;
      data.push({ start, length: Math.min(length, size - start) });
      end = start + length;
    }
    return new ModelDisk(size, data, { sparseUnknown });
  });
