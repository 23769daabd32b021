import { PAGE_BYTES } from '@virtnbd/host';
import type { ImagePiece } from '@virtnbd/qcow2-writer';

/** What lies where in the file of a new image. Pieces of it come in the order of the file. */
export interface FileLayout {
  /** Bytes: what is not placed reads as zero, in units of this size. A power of two of at most 2 MiB. */
  readonly unit: number;
  /** Gives a range of the disk its place; ranges come in ascending order. */
  place(start: number, length: number): Iterable<ImagePiece>;
  /** The last pieces; what follows is known then. */
  finish(): Iterable<ImagePiece>;
  /** Bytes of the whole file. */
  readonly fileBytes: number;
  /** What goes to the start of the file when all else is written. */
  readonly head: Uint8Array;
}

/** A raw image: everything lies where it lies on the disk. Less than a page is not written past the page cache, nor left out. */
export class RawLayout implements FileLayout {
  readonly unit = PAGE_BYTES;
  readonly fileBytes: number;
  readonly head = new Uint8Array(0);
  /** Up to here pages have been given out. */
  #end = 0;

  constructor(fileBytes: number) {
    this.fileBytes = fileBytes;
  }

  *place(start: number, length: number): Generator<ImagePiece> {
    if (start + length > this.fileBytes)
      throw new RangeError(`${length} bytes at ${start} do not lie in ${this.fileBytes}`);
    const from = Math.max(this.#end, start - (start % PAGE_BYTES));
    const end = Math.ceil((start + length) / PAGE_BYTES) * PAGE_BYTES;
    if (end <= from) return;
    this.#end = end;
    yield { kind: 'guest', offset: from, start: from, length: end - from };
  }

  finish(): readonly ImagePiece[] {
    return [];
  }
}
