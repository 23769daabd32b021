import { type BlockSize, NBD_CMD_FLAG_DF, NBD_CMD_READ } from '@virtnbd/nbd-protocol';
import { widen } from './alignment.ts';
import { NbdError } from './errors.ts';
import type { Lanes } from './lanes.ts';
import type { RequestOptions } from './options.ts';
import { alignDown, checkAligned } from './range-check.ts';
import { BufferTarget, PartTarget, type ReadTarget } from './read-target.ts';

/** Reads are cut to requests of this length: long enough to be fast, short enough to share the pipe. */
const PIECE = 512 * 1024;

/** Reads of any range, whatever blocks the server takes. */
export class Reader {
  readonly #lanes: Lanes;
  readonly #size: number;
  readonly #blockSize: BlockSize;
  readonly #piece: number;

  constructor(lanes: Lanes, { size, blockSize }: { size: number; blockSize: BlockSize }) {
    this.#lanes = lanes;
    this.#size = size;
    this.#blockSize = blockSize;
    this.#piece = alignDown(Math.min(PIECE, blockSize.maximum), blockSize.minimum);
  }

  /** Fills a target with a range of the export, of one byte at least. */
  async read(
    offset: number,
    length: number,
    target: ReadTarget,
    flags: number,
    options: RequestOptions,
  ): Promise<void> {
    const { minimum } = this.#blockSize;
    if ((flags & NBD_CMD_FLAG_DF) !== 0) return this.#readWhole(offset, length, target, flags, options);
    if (offset % minimum === 0 && length % minimum === 0) {
      return this.#readAligned(offset, length, target, this.#piece, options);
    }
    const parts = widen(offset, length, minimum, this.#size).map(async (part) => {
      const place = new PartTarget(target, part.at);
      if (part.take === part.length) return this.#readAligned(part.offset, part.take, place, this.#piece, options);
      const block = new Uint8Array(part.length);
      await this.#readAligned(part.offset, part.length, new BufferTarget(block), this.#piece, options);
      place.set(block.subarray(part.skip, part.skip + part.take), 0);
    });
    // All of them end before this does: a later one must not write into a buffer that was given back.
    const failed = (await Promise.allSettled(parts)).find((part) => part.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  /** One request for all of it. */
  async #readWhole(
    offset: number,
    length: number,
    target: ReadTarget,
    flags: number,
    options: RequestOptions,
  ): Promise<void> {
    const { maximum } = this.#blockSize;
    checkAligned('read in one piece', offset, length, this.#blockSize);
    if (length > maximum) {
      const message = `read in one piece at ${offset}, ${length} bytes: the NBD server takes at most ${maximum}`;
      throw new NbdError('USAGE', message, { offset, length });
    }
    await this.#lanes.run(
      { command: NBD_CMD_READ, flags, offset, length, piece: Number.MAX_SAFE_INTEGER, target },
      options,
    );
  }

  async #readAligned(
    offset: number,
    length: number,
    target: ReadTarget,
    piece: number,
    options: RequestOptions,
  ): Promise<void> {
    await this.#lanes.run({ command: NBD_CMD_READ, offset, length, piece, target }, options);
  }
}
