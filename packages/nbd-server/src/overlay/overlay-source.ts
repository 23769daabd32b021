import type { BlockSource, SourceExtent, SourceOptions } from '../block-source.ts';
import { NbdServerError } from '../errors.ts';
import type { OverlayFile } from './overlay-file.ts';
import { BLOCK, type BlockRun, BlockState } from './overlay-index.ts';
import { OverlayStore } from './overlay-store.ts';
import { RangeLock } from './range-lock.ts';

export interface OverlayOptions {
  /** What tells this base from others of the same size (a disk and its restore point), up to 2048 bytes of UTF-8. */
  identity?: string;
}

/**
 * A writable disk over a base that is never written to: what is written goes to a sparse file, block by block (4 KiB). After a
 * flush, or {@link close}, the file can be opened again over the same base; after a crash it holds the last flush, and of
 * later writes some or none.
 */
export class OverlaySource implements BlockSource, AsyncDisposable {
  readonly size: number;
  readonly #base: BlockSource;
  readonly #store: OverlayStore;
  readonly #lock = new RangeLock();

  private constructor(base: BlockSource, store: OverlayStore) {
    this.size = base.size;
    this.#base = base;
    this.#store = store;
  }

  /**
   * A new overlay in an empty file, which belongs to it from then on. Nobody else may use the file.
   *
   * @throws NbdServerError `USAGE` where the file is not empty; what the file rejects with
   */
  static async create(base: BlockSource, file: OverlayFile, options: OverlayOptions = {}): Promise<OverlaySource> {
    return new OverlaySource(base, await OverlayStore.create(file, base.size, options.identity ?? ''));
  }

  /**
   * The overlay that {@link create} has made in this file, over a base of the same content.
   *
   * @throws NbdServerError `OVERLAY_FORMAT`, `OVERLAY_MISMATCH`; what the file rejects with
   */
  static async open(base: BlockSource, file: OverlayFile, options: OverlayOptions = {}): Promise<OverlaySource> {
    return new OverlaySource(base, await OverlayStore.open(file, base.size, options.identity ?? ''));
  }

  async read(offset: number, buffer: Uint8Array, options: SourceOptions = {}): Promise<void> {
    this.#checkRange(offset, buffer.byteLength);
    for (const { start, end, state } of this.#runs(offset, buffer.byteLength)) {
      const part = buffer.subarray(start - offset, end - offset);
      if (state === BlockState.zero) part.fill(0);
      else if (state === BlockState.data) await this.#store.read(start, part);
      else await this.#base.read(start, part, options);
    }
  }

  async *extents(offset: number, length: number, options: SourceOptions = {}): AsyncGenerator<SourceExtent> {
    this.#checkRange(offset, length);
    for (const { start, end, state } of this.#runs(offset, length)) {
      if (state === BlockState.base) yield* this.#baseExtents(start, end, options);
      else yield { start, length: end - start, kind: state === BlockState.zero ? 'zero' : 'data' };
    }
  }

  async write(offset: number, data: Uint8Array, options: SourceOptions = {}): Promise<void> {
    const length = data.byteLength;
    this.#checkRange(offset, length);
    if (length === 0) return;
    await this.#change(offset, length, () => this.#writeLocked(offset, data, options));
  }

  async writeZeroes(offset: number, length: number, options: SourceOptions = {}): Promise<void> {
    this.#checkRange(offset, length);
    if (length === 0) return;
    await this.#change(offset, length, async () => {
      const end = offset + length;
      const { first, last } = this.#wholeBlocks(offset, end);
      if (first >= last) return this.#zeroPart(offset, end, options);
      await this.#zeroPart(offset, first * BLOCK, options);
      await this.#zeroPart(Math.min(last * BLOCK, end), end, options);
      this.#store.index.set(first, last, BlockState.zero);
    });
  }

  /** Whole blocks read as zeroes afterwards; parts of blocks stay as they are. */
  async trim(offset: number, length: number): Promise<void> {
    this.#checkRange(offset, length);
    const { first, last } = this.#wholeBlocks(offset, offset + length);
    if (first >= last) return;
    await this.#change(offset, length, async () => this.#store.index.set(first, last, BlockState.zero));
  }

  flush(): Promise<void> {
    return this.#store.sync();
  }

  /** Flushes, and closes the file; the base stays open. No call may be under way, and none may follow. */
  close(): Promise<void> {
    return this.#store.close();
  }

  /** {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #change(offset: number, length: number, work: () => Promise<void>): Promise<void> {
    this.#store.checkUsable();
    const last = Math.floor((offset + length - 1) / BLOCK);
    await this.#lock.run(Math.floor(offset / BLOCK), last, work);
  }

  /** Blocks that are written in part, and that this file does not have, are completed from what was there. */
  async #writeLocked(offset: number, data: Uint8Array, options: SourceOptions): Promise<void> {
    const end = offset + data.byteLength;
    const first = Math.floor(offset / BLOCK);
    const behind = Math.ceil(end / BLOCK);
    if (this.#store.index.state(first) !== BlockState.data) await this.#fill(first * BLOCK, offset, options);
    if (this.#store.index.state(behind - 1) !== BlockState.data) {
      await this.#fill(end, Math.min(behind * BLOCK, this.size), options);
    }
    await this.#store.write(offset, data);
    this.#store.index.set(first, behind, BlockState.data);
  }

  async #fill(start: number, end: number, options: SourceOptions): Promise<void> {
    if (start >= end) return;
    const bytes = new Uint8Array(end - start);
    await this.read(start, bytes, options);
    await this.#store.write(start, bytes);
  }

  /** Zeroes for a part of one block. */
  async #zeroPart(start: number, end: number, options: SourceOptions): Promise<void> {
    if (start >= end) return;
    // A range without a whole block may still touch two.
    const border = Math.min(end, (Math.floor(start / BLOCK) + 1) * BLOCK);
    if (this.#store.index.state(Math.floor(start / BLOCK)) !== BlockState.zero) {
      await this.#writeLocked(start, new Uint8Array(border - start), options);
    }
    await this.#zeroPart(border, end, options);
  }

  /** Blocks that lie in the range as a whole; the disk's last block may be short. */
  #wholeBlocks(offset: number, end: number): { first: number; last: number } {
    const last = end === this.size ? Math.ceil(end / BLOCK) : Math.floor(end / BLOCK);
    return { first: Math.ceil(offset / BLOCK), last };
  }

  /** Runs of a range of bytes: `start` and `end` are bytes, cut to the range. */
  *#runs(offset: number, length: number): Generator<BlockRun> {
    const end = offset + length;
    for (const run of this.#store.index.runs(Math.floor(offset / BLOCK), Math.ceil(end / BLOCK))) {
      yield { start: Math.max(offset, run.start * BLOCK), end: Math.min(end, run.end * BLOCK), state: run.state };
    }
  }

  async *#baseExtents(start: number, end: number, options: SourceOptions): AsyncGenerator<SourceExtent> {
    const extents = this.#base.extents?.(start, end - start, options);
    if (extents === undefined) {
      yield { start, length: end - start, kind: 'data' };
      return;
    }
    let position = start;
    for await (const extent of extents) {
      const stop = Math.min(end, extent.start + extent.length);
      if (extent.start > position) throw new NbdServerError('SOURCE', `extents of the base have a gap at ${position}`);
      if (stop > position) yield { start: position, length: stop - position, kind: extent.kind };
      position = Math.max(position, stop);
      if (position === end) return;
    }
    throw new NbdServerError('SOURCE', `extents of the base end at ${position}, before ${end}`);
  }

  #checkRange(offset: number, length: number): void {
    if (Number.isSafeInteger(offset) && offset >= 0 && length >= 0 && length <= this.size - offset) return;
    throw new NbdServerError('USAGE', `${length} bytes at ${offset} are outside the disk of ${this.size} bytes`);
  }
}
