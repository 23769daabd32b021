/** A range of bytes. */
export interface ByteRange {
  readonly start: number;
  readonly length: number;
}

/**
 * Ascending ranges without overlap, as columns: a million take 16 MB. Ranges that touch are joined unless they are
 * marked differently.
 */
export class RangeList implements Iterable<ByteRange> {
  #starts = new Float64Array(16);
  #ends = new Float64Array(16);
  #count = 0;
  #bytes = 0;

  static of(ranges: Iterable<ByteRange>): RangeList {
    const list = new RangeList();
    for (const { start, length } of ranges) list.add(start, start + length);
    return list;
  }

  get count(): number {
    return this.#count;
  }

  /** Sum of the lengths. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Adds [start, end) at the end; what an earlier range covers already is left out. */
  add(start: number, end: number): void {
    const last = this.#count - 1;
    const lastEnd = last < 0 ? 0 : (this.#ends[last] ?? 0);
    const from = Math.max(start, lastEnd);
    if (end <= from) return;
    this.#bytes += end - from;
    if (last >= 0 && from === lastEnd) {
      this.#ends[last] = end;
      return;
    }
    if (this.#count === this.#starts.length) this.#grow();
    this.#starts[this.#count] = from;
    this.#ends[this.#count] = end;
    this.#count++;
  }

  /** Infinity past the last range. */
  start(index: number): number {
    return index < this.#count ? (this.#starts[index] ?? 0) : Number.POSITIVE_INFINITY;
  }

  /** Infinity past the last range. */
  end(index: number): number {
    return index < this.#count ? (this.#ends[index] ?? 0) : Number.POSITIVE_INFINITY;
  }

  *[Symbol.iterator](): Generator<ByteRange, void, undefined> {
    for (let i = 0; i < this.#count; i++) {
      const start = this.start(i);
      yield { start, length: this.end(i) - start };
    }
  }

  /** What of these ranges the others do not cover. */
  without(others: RangeList): RangeList {
    const rest = new RangeList();
    let other = 0;
    for (let i = 0; i < this.#count; i++) {
      let from = this.start(i);
      const end = this.end(i);
      while (other < others.count && others.end(other) <= from) other++;
      for (let next = other; next < others.count && others.start(next) < end; next++) {
        rest.add(from, others.start(next));
        from = Math.max(from, others.end(next));
      }
      rest.add(from, end);
    }
    return rest;
  }

  /** The part below `limit`. */
  below(limit: number): RangeList {
    const part = new RangeList();
    for (let i = 0; i < this.#count && this.start(i) < limit; i++)
      part.add(this.start(i), Math.min(this.end(i), limit));
    return part;
  }

  /** The ranges of both. */
  with(others: RangeList): RangeList {
    const all = new RangeList();
    let a = 0;
    let b = 0;
    while (a < this.#count || b < others.count) {
      const mine = this.start(a) <= others.start(b);
      if (mine) all.add(this.start(a), this.end(a));
      else all.add(others.start(b), others.end(b));
      if (mine) a++;
      else b++;
    }
    return all;
  }

  #grow(): void {
    const starts = new Float64Array(this.#count * 2);
    const ends = new Float64Array(this.#count * 2);
    starts.set(this.#starts);
    ends.set(this.#ends);
    this.#starts = starts;
    this.#ends = ends;
  }
}
