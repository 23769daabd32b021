import type { RandomAccessSource } from '../source.ts';

/** Gaps between looks up to which reading everything in large windows is cheaper than one read a look. */
const DENSE_GAP = 32 * 1024;
const DENSE_WINDOW = 512 * 1024;
const SPARSE_WINDOW = 4 * 1024;
const FIRST_WINDOW = 64 * 1024;

/**
 * Looks at a few bytes here and there, in ascending order, through a window that adapts: small frames are read by the
 * half MiB, large ones are stepped over.
 */
export class WindowedReader {
  readonly #source: RandomAccessSource;
  readonly #signal: AbortSignal | undefined;
  #buffer = new Uint8Array(FIRST_WINDOW);
  #start = 0;
  #end = 0;
  #lastLook = 0;
  /** Moving average of the distance between looks, so that it follows a change within a few frames. */
  #gap = 0;

  constructor(source: RandomAccessSource, signal?: AbortSignal) {
    this.#source = source;
    this.#signal = signal;
  }

  /** The buffer that holds the window; good until the next `load`. */
  get bytes(): Uint8Array {
    return this.#buffer;
  }

  /** Position in `bytes` of the byte at `offset` of the file, or −1 when `length` bytes from there are not in the window. */
  find(offset: number, length: number): number {
    this.#gap += (Math.min(offset - this.#lastLook, 8 * DENSE_GAP) - this.#gap) / 4;
    this.#lastLook = offset;
    return offset >= this.#start && offset + length <= this.#end ? offset - this.#start : -1;
  }

  /** Reads a window from `offset` that holds at least `length` bytes; the caller has checked that the file has them. */
  async load(offset: number, length: number): Promise<number> {
    this.#signal?.throwIfAborted();
    const first = this.#end === 0;
    const wanted = first ? FIRST_WINDOW : this.#gap <= DENSE_GAP ? DENSE_WINDOW : SPARSE_WINDOW;
    const size = Math.min(Math.max(wanted, length), this.#source.size - offset);
    if (this.#buffer.length < size) this.#buffer = new Uint8Array(size);
    this.#start = offset;
    this.#end = offset; // an empty window, should the read fail
    await this.#source.read(offset, this.#buffer.subarray(0, size));
    this.#end = offset + size;
    return 0;
  }
}
