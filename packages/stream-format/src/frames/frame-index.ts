/** Grows by doubling; typed, so that a million frames cost 8 MB a column. */
export class NumberColumn {
  #values = new Float64Array(64);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(value: number): void {
    if (this.#length === this.#values.length) {
      const grown = new Float64Array(this.#length * 2);
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[this.#length++] = value;
  }

  at(index: number): number | undefined {
    return index < this.#length ? this.#values[index] : undefined;
  }

  /** The values, without the spare room. */
  toArray(): Float64Array {
    return this.#values.length === this.#length ? this.#values : this.#values.slice(0, this.#length);
  }
}

/** Cut data frames: the sizes in the file of their compressed frames, in bytes. */
export type CutFrames = ReadonlyMap<number, readonly number[]>;

export interface FrameColumns {
  readonly starts: Float64Array;
  readonly lengths: Float64Array;
  /** Offset of the payload in the file; of a zero frame the negative offset where its header ends. */
  readonly fileOffsets: Float64Array;
  /** Bytes of the payload in the file; absent in an uncompressed file, where they equal the length. */
  readonly storedLengths?: Float64Array | undefined;
  readonly dataSize: number;
}

/**
 * The data and zero frames of a file, in order of their start and without overlap. All positions are bytes. An index
 * outside 0 … count − 1 is a RangeError.
 */
export class FrameIndex {
  readonly count: number;
  /** Sum of the lengths of the data frames, in bytes. */
  readonly dataSize: number;
  readonly #columns: FrameColumns;

  constructor(columns: FrameColumns) {
    this.#columns = columns;
    this.count = columns.starts.length;
    this.dataSize = columns.dataSize;
  }

  kind(frame: number): 'data' | 'zero' {
    return this.#value(this.#columns.fileOffsets, frame) < 0 ? 'zero' : 'data';
  }

  /** Start of the guest range. */
  start(frame: number): number {
    return this.#value(this.#columns.starts, frame);
  }

  /** Length of the guest range. */
  length(frame: number): number {
    return this.#value(this.#columns.lengths, frame);
  }

  /** Offset of a data frame's payload in the file; −1 for a zero frame, which has none. */
  fileOffset(frame: number): number {
    return Math.max(-1, this.#value(this.#columns.fileOffsets, frame));
  }

  /** Bytes of a data frame's payload in the file; 0 for a zero frame. */
  storedLength(frame: number): number {
    if (this.kind(frame) === 'zero') return 0;
    return this.#value(this.#columns.storedLengths ?? this.#columns.lengths, frame);
  }

  /**
   * Number of the first frame that ends after a guest offset: the one that holds it, or the next one when none does;
   * `count` when there is none. By binary search.
   */
  find(offset: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.start(middle) + this.length(middle) > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Number of the first frame whose bytes in the file, header and payload, end after an offset; `count` for none. */
  findInFile(fileOffset: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const place = Math.abs(this.#value(this.#columns.fileOffsets, middle));
      if (place + this.storedLength(middle) > fileOffset) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #value(column: Float64Array, frame: number): number {
    const value = column[frame];
    if (value === undefined) throw new RangeError(`Frame ${frame} of ${this.count}`);
    return value;
  }
}
