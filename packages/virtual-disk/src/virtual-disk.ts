import { MAX_PIECE_BYTES, type Piece, type StreamFile } from '@virtnbd/stream-format';
import { VirtualDiskError } from './errors.ts';
import { ABSENT, type ExtentMap, findExtent, layerMap, mergeMaps } from './extent-map.ts';
import { PieceCache } from './piece-cache.ts';
import { SequenceDetector } from './sequence-detector.ts';

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

export interface VirtualDiskOptions {
  /** Decompressed guest bytes kept for the reads that come after; 32 MiB by default. The last piece is always kept. */
  readonly cacheBytes?: number;
  /** Whether small reads in sequence have what follows loaded; true by default. For who reads everything anyway, false. */
  readonly readAhead?: boolean;
}

const CACHE_BYTES = 32 * 1024 * 1024;
/** How far ahead of small reads in sequence is read: of compressed pieces, and of plain bytes. */
const AHEAD_BYTES = 4 * 1024 * 1024;
const AHEAD_PLAIN_BYTES = 512 * 1024;
/** Larger reads keep the source busy by themselves. */
const SMALL_READ_BYTES = 256 * 1024;
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
  readonly #cache: PieceCache;
  readonly #sequence: SequenceDetector | undefined;
  /** Up to where what lies ahead of reads in sequence is under way. */
  #ahead = 0;

  private constructor(layers: readonly DiskLayer[], map: ExtentMap, size: number, options: VirtualDiskOptions) {
    this.#layers = layers;
    this.#cache = new PieceCache(options.cacheBytes ?? CACHE_BYTES);
    this.#sequence = options.readAhead === false ? undefined : new SequenceDetector();
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
  static fromLayers(layers: readonly DiskLayer[], options: VirtualDiskOptions = {}): VirtualDisk {
    const newest = layers.at(-1);
    if (newest === undefined) throw new VirtualDiskError('USAGE', 'A disk needs at least one layer');
    const maps = layers.map(({ file: { index, meta } }, number) =>
      layerMap(index, number, meta.virtualSize, number === 0 || !meta.incremental),
    );
    return new VirtualDisk(layers, mergeMaps(maps), newest.file.meta.virtualSize, options);
  }

  /**
   * Extents in order and without gaps, by default all of them. The first one is found by bisection; it may begin before
   * `offset`, and the last one may end past `offset + length`.
   */
  *extents(offset = 0, length = this.size - offset): Generator<DiskExtent, void, undefined> {
    const end = Math.min(offset + length, this.size);
    for (let number = findExtent(this.#map, offset); number < this.#map.count; number++) {
      const extent = this.#extent(number);
      if (extent.length <= 0 || extent.start >= end) return;
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
    const inSequence = this.#sequence?.next(offset, buffer.length) === true && buffer.length < SMALL_READ_BYTES;
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
    if (inSequence) this.#readAhead(offset + buffer.length);
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
    // A frame that is read as a whole is opened where it is wanted: who reads so does not come back for it.
    const whole = part.length === file.index.length(frame) && !this.#cache.has(`${layer}:${frame}:0`);
    if (!file.compressed || whole) {
      await file.read(frame, inFrame, part);
      return;
    }
    for (let done = 0; done < part.length; ) {
      done += await this.#usePiece(layer, file, frame, inFrame + done, ({ start, bytes }) => {
        const from = inFrame + done - start;
        const copied = bytes.subarray(from, from + part.length - done);
        part.set(copied, done);
        return copied.length;
      });
    }
  }

  async #usePiece<T>(
    layer: number,
    file: StreamFile,
    frame: number,
    inFrame: number,
    use: (piece: Piece) => T,
  ): Promise<T> {
    const start = await file.pieceStart(frame, inFrame);
    const size = Math.min(file.index.length(frame) - start, MAX_PIECE_BYTES);
    return await this.#cache.use(`${layer}:${frame}:${start}`, size, (take) => file.piece(frame, inFrame, take), use);
  }

  /** Begins to load what reads in sequence come to next. What fails here fails again, and is told, when it is read. */
  #readAhead(position: number): void {
    const far = this.#layers.some(({ file }) => file.compressed) ? AHEAD_BYTES : AHEAD_PLAIN_BYTES;
    const end = Math.min(this.size, position + far);
    // Each extent once, however many small reads come: the ahead of the one before is most of this one's.
    const from = this.#ahead > position && this.#ahead <= end ? this.#ahead : position;
    this.#ahead = end;
    for (let number = findExtent(this.#map, from); number < this.#map.count; number++) {
      const extent = this.#extent(number);
      if (extent.start >= end) return;
      const file = this.#layers[extent.layer]?.file;
      if (extent.kind === 'zero' || file === undefined) continue;
      const inFrame = Math.max(from, extent.start) - file.index.start(extent.frame);
      if (file.compressed) this.#pieceAhead(extent, file, inFrame);
      else {
        const length = Math.min(extent.start + extent.length, end) - Math.max(from, extent.start);
        file.prefetch(extent.frame, inFrame, length);
      }
    }
  }

  #pieceAhead({ layer, frame }: DiskExtent, file: StreamFile, inFrame: number): void {
    // A piece as large as what is read ahead takes longer than the reads before it.
    if (file.index.length(frame) > AHEAD_BYTES) return;
    this.#usePiece(layer, file, frame, inFrame, () => undefined).catch(() => undefined);
  }
}

/** Waits until every read has ended, so that none writes to the buffer later; then rejects with the first error. */
async function settled(reads: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(reads);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
