import type { StreamFile } from '@virtnbd/stream-format';
import { VirtualDiskError } from './errors.ts';
import { ABSENT, type ExtentMap, findExtent, layerMap, mergeMaps } from './extent-map.ts';
import { PieceCache } from './piece-cache.ts';

/** One stream file of a chain. */
export interface DiskLayer {
  readonly file: StreamFile;
  /** What messages call it: the file's name. */
  readonly name: string;
}

/** A range of the disk that comes from one frame, or from none. */
export interface DiskExtent {
  /** Bytes from the start of the disk. */
  readonly start: number;
  /** Bytes. */
  readonly length: number;
  readonly kind: 'data' | 'zero';
  /** Number of the layer that holds it, 0 the oldest; −1 when none does: it is zero. */
  readonly layer: number;
  /** Number of the frame in that layer; −1 when there is none. */
  readonly frame: number;
}

export interface ReadOptions {
  readonly signal?: AbortSignal;
}

/** Decompressed guest bytes kept for the reads that come after. */
const CACHE_BYTES = 32 * 1024 * 1024;
/** Reads of layers that one `read` has open at a time. */
const READS_IN_FLIGHT = 16;

/** The disk as it was at one restore point, read-only, over the stream files of its chain. */
export class VirtualDisk {
  /** Bytes of the disk: the virtual size in the newest layer. */
  readonly size: number;
  /** Bytes that come from data frames; all others are zero. */
  readonly dataBytes: number;
  readonly #layers: readonly DiskLayer[];
  readonly #map: ExtentMap;
  readonly #cache = new PieceCache(CACHE_BYTES);

  private constructor(layers: readonly DiskLayer[], map: ExtentMap, size: number) {
    this.#layers = layers;
    this.#map = map;
    this.size = size;
    let dataBytes = 0;
    for (const extent of this.extents()) if (extent.kind === 'data') dataBytes += extent.length;
    this.dataBytes = dataBytes;
  }

  /**
   * The disk that a chain of layers makes, oldest first. The first layer is the base: what it does not hold is zero. A
   * later layer that is not incremental is a whole backup, and hides all below it. The newest frame wins, a zero frame as
   * much as a data frame. Where layers differ in size, data past the end of a smaller one is gone, and growth is zero.
   *
   * @throws VirtualDiskError USAGE without layers
   */
  static fromLayers(layers: readonly DiskLayer[]): VirtualDisk {
    const newest = layers.at(-1);
    if (newest === undefined) throw new VirtualDiskError('USAGE', 'A disk needs at least one layer');
    const maps = layers.map(({ file: { index, meta } }, number) =>
      layerMap(index, number, meta.virtualSize, number === 0 || !meta.incremental),
    );
    return new VirtualDisk(layers, mergeMaps(maps), newest.file.meta.virtualSize);
  }

  /** All extents in order, without gaps, from 0 to the end of the disk. */
  *extents(): Generator<DiskExtent, void, undefined> {
    for (let number = 0; number < this.#map.count; number++) {
      const extent = this.#extent(number);
      if (extent.length <= 0) return;
      yield extent;
    }
  }

  /**
   * Fills `buffer` with the disk's bytes from `offset`. On abort the buffer holds anything.
   *
   * @throws VirtualDiskError OUT_OF_RANGE past the end; StreamFormatError for damage in a layer; `signal.reason`
   */
  async read(offset: number, buffer: Uint8Array, options: ReadOptions = {}): Promise<void> {
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + buffer.length > this.size) {
      const message = `Read of ${buffer.length} bytes at ${offset} of a disk of ${this.size} bytes`;
      throw new VirtualDiskError('OUT_OF_RANGE', message, { offset });
    }
    options.signal?.throwIfAborted();
    let reads: Promise<void>[] = [];
    let number = findExtent(this.#map, offset);
    for (let done = 0; done < buffer.length; number++) {
      const extent = this.#extent(number);
      const inExtent = offset + done - extent.start;
      const part = buffer.subarray(done, done + extent.length - inExtent);
      done += part.length;
      if (extent.kind === 'zero') {
        part.fill(0);
        continue;
      }
      reads.push(this.#readFrame(extent, offset + done - part.length, part));
      if (reads.length === READS_IN_FLIGHT) {
        await settled(reads);
        reads = [];
        options.signal?.throwIfAborted();
      }
    }
    await settled(reads);
    options.signal?.throwIfAborted();
  }

  #extent(number: number): DiskExtent {
    const { count, starts, layers, frames } = this.#map;
    const start = starts[number] ?? this.size;
    const end = number + 1 < count ? Math.min(starts[number + 1] ?? this.size, this.size) : this.size;
    const layer = layers[number] ?? ABSENT;
    const frame = frames[number] ?? -1;
    const kind = this.#layers[layer]?.file.index.kind(frame) ?? 'zero';
    return { start, length: end - start, kind, layer, frame };
  }

  /** Fills `part` with the disk's bytes from `offset`, which lie in one data frame. */
  async #readFrame({ layer, frame }: DiskExtent, offset: number, part: Uint8Array): Promise<void> {
    const file = this.#layers[layer]?.file;
    if (file === undefined) throw new RangeError(`Layer ${layer} of ${this.#layers.length}`);
    const inFrame = offset - file.index.start(frame);
    if (!file.compressed) {
      await file.read(frame, inFrame, part);
      return;
    }
    for (let done = 0; done < part.length; ) {
      const start = await file.pieceStart(frame, inFrame + done);
      const { bytes } = await this.#cache.get(`${layer}:${frame}:${start}`, () => file.piece(frame, inFrame + done));
      const from = inFrame + done - start;
      const copied = bytes.subarray(from, from + part.length - done);
      part.set(copied, done);
      done += copied.length;
    }
  }
}

/** Waits until every read has ended, so that none writes to the buffer later; then rejects with the first error. */
async function settled(reads: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(reads);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
