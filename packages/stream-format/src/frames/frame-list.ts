import { FRAME_HEADER_BYTES } from './frame-header.ts';
import { type CutFrames, FrameIndex, NumberColumn } from './frame-index.ts';
import { FrameOrder } from './frame-order.ts';
import type { StreamMeta } from './meta.ts';

export interface IndexedFrames {
  readonly index: FrameIndex;
  /** The data frames that are cut into several compressed frames. */
  readonly cuts: CutFrames;
}

/** Collects the frames of a file, each checked, into an index. */
export class FrameList {
  readonly order: FrameOrder;
  readonly #compressed: boolean;
  readonly #starts = new NumberColumn();
  readonly #lengths = new NumberColumn();
  readonly #fileOffsets = new NumberColumn();
  readonly #storedLengths = new NumberColumn();
  readonly #cuts = new Map<number, readonly number[]>();

  constructor(meta: StreamMeta, compressed: boolean) {
    this.order = new FrameOrder(meta);
    this.#compressed = compressed;
  }

  addZero(start: number, length: number, headerOffset: number): void {
    this.order.add('zero', start, length, headerOffset);
    this.#push(start, length, -(headerOffset + FRAME_HEADER_BYTES), 0);
  }

  /** @param pieces sizes in the file of its compressed frames, when there are several */
  addData(start: number, length: number, fileOffset: number, stored: number, pieces?: readonly number[]): void {
    this.order.add('data', start, length, fileOffset);
    if (pieces !== undefined) this.#cuts.set(this.#starts.length, pieces);
    this.#push(start, length, fileOffset, stored);
  }

  build(): IndexedFrames {
    const index = new FrameIndex({
      starts: this.#starts.toArray(),
      lengths: this.#lengths.toArray(),
      fileOffsets: this.#fileOffsets.toArray(),
      storedLengths: this.#compressed ? this.#storedLengths.toArray() : undefined,
      dataSize: this.order.dataSize,
    });
    return { index, cuts: this.#cuts };
  }

  #push(start: number, length: number, fileOffset: number, stored: number): void {
    this.#starts.push(start);
    this.#lengths.push(length);
    this.#fileOffsets.push(fileOffset);
    if (this.#compressed) this.#storedLengths.push(stored);
  }
}
