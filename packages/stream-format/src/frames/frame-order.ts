import { StreamFormatError } from '../errors.ts';
import { MAX_FRAMES } from '../limits.ts';
import type { StreamMeta } from './meta.ts';

/** Checks frames as they come: inside the disk, in ascending order, not too many, their data as much as meta says. */
export class FrameOrder {
  readonly #meta: StreamMeta;
  dataFrames = 0;
  zeroFrames = 0;
  /** Guest bytes in data frames so far. */
  dataSize = 0;
  /** End of the last frame's guest range. */
  guestEnd = 0;

  constructor(meta: StreamMeta) {
    this.#meta = meta;
  }

  /**
   * Takes the next frame.
   *
   * @param fileOffset of its header, for the error
   * @throws StreamFormatError BAD_FRAME_HEADER, OUT_OF_RANGE, FRAME_ORDER, LIMIT
   */
  add(kind: 'data' | 'zero', start: number, length: number, fileOffset: number): void {
    const range = `The frame at byte ${fileOffset} covers bytes ${start} to ${start + length} of the disk`;
    const refuse = (code: 'BAD_FRAME_HEADER' | 'OUT_OF_RANGE' | 'FRAME_ORDER', what: string) =>
      new StreamFormatError(code, `${range}${what}`, { fileOffset });
    if (length === 0) throw refuse('BAD_FRAME_HEADER', ': it is empty');
    if (start + length > this.#meta.virtualSize) {
      throw refuse('OUT_OF_RANGE', `, which ends at ${this.#meta.virtualSize}`);
    }
    if (start < this.guestEnd) throw refuse('FRAME_ORDER', `, but the frame before it ends at ${this.guestEnd}`);
    if (this.dataFrames + this.zeroFrames >= MAX_FRAMES) {
      throw new StreamFormatError('LIMIT', `The file has more than ${MAX_FRAMES} frames`, { fileOffset });
    }
    this.guestEnd = start + length;
    if (kind === 'data') {
      this.dataFrames++;
      this.dataSize += length;
    } else this.zeroFrames++;
  }

  /** @throws StreamFormatError BAD_META when the data frames are not as much as meta says */
  finish(): void {
    if (this.dataSize === this.#meta.dataSize) return;
    const found = `dataSize is ${this.#meta.dataSize}, but the data frames hold ${this.dataSize} bytes`;
    throw new StreamFormatError('BAD_META', `${found}: the file is damaged`, { fileOffset: 0 });
  }
}
