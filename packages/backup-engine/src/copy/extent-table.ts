/** What a run of guest bytes becomes in the backup. */
export type ExtentKind = 'data' | 'zero';

const FIRST_CAPACITY = 1024;

/**
 * The runs of one disk that a backup saves, in ascending order, in typed arrays: 17 bytes a run, so that a million of
 * them stay far below the memory bar. Neighbours of one kind are merged as they are added.
 */
export class ExtentTable {
  #starts = new Float64Array(FIRST_CAPACITY);
  #lengths = new Float64Array(FIRST_CAPACITY);
  #zero = new Uint8Array(FIRST_CAPACITY);
  #count = 0;
  #dataBytes = 0;
  #zeroBytes = 0;

  /** Number of runs. */
  get count(): number {
    return this.#count;
  }

  /** Sum of the lengths of the data runs, in bytes: the `dataSize` of the stream file's header. */
  get dataBytes(): number {
    return this.#dataBytes;
  }

  /** Sum of the lengths of the zero runs, in bytes. */
  get zeroBytes(): number {
    return this.#zeroBytes;
  }

  /**
   * Appends a run of `length` bytes (> 0) at `start`, which must not lie before the end of the last one.
   *
   * @throws RangeError when it does: a server that goes back must not make a wrong backup
   */
  add(start: number, length: number, kind: ExtentKind): void {
    const last = this.#count - 1;
    const end = last < 0 ? 0 : this.#startAt(last) + this.#lengthAt(last);
    if (length <= 0 || start < end) throw new RangeError(`extent ${start}+${length} is not beyond ${end}`);
    const zero = kind === 'zero' ? 1 : 0;
    if (kind === 'data') this.#dataBytes += length;
    else this.#zeroBytes += length;
    if (last >= 0 && start === end && this.#zero[last] === zero) {
      this.#lengths[last] = this.#lengthAt(last) + length;
      return;
    }
    if (this.#count === this.#starts.length) this.#grow();
    this.#starts[this.#count] = start;
    this.#lengths[this.#count] = length;
    this.#zero[this.#count] = zero;
    this.#count += 1;
  }

  /** The runs in order. */
  *[Symbol.iterator](): Generator<{ start: number; length: number; kind: ExtentKind }> {
    for (let i = 0; i < this.#count; i++)
      yield { start: this.#startAt(i), length: this.#lengthAt(i), kind: this.#zero[i] === 1 ? 'zero' : 'data' };
  }

  #startAt(index: number): number {
    return this.#starts[index] ?? 0;
  }

  #lengthAt(index: number): number {
    return this.#lengths[index] ?? 0;
  }

  #grow(): void {
    const capacity = this.#starts.length * 2;
    const starts = new Float64Array(capacity);
    const lengths = new Float64Array(capacity);
    const zero = new Uint8Array(capacity);
    starts.set(this.#starts);
    lengths.set(this.#lengths);
    zero.set(this.#zero);
    this.#starts = starts;
    this.#lengths = lengths;
    this.#zero = zero;
  }
}
