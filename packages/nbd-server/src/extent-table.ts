import type { SourceExtent } from './block-source.ts';
import { NbdServerError } from './errors.ts';

/**
 * The extents of a source that never changes, ready for {@link BlockSource.extents}: found by bisection, so that a million of
 * them are as quick to ask for as ten. Takes 8 bytes for each change between data and zero.
 */
export class ExtentTable {
  /** Where the kind changes; data and zero by turns. */
  readonly #borders: Float64Array;
  readonly #firstIsZero: boolean;

  /**
   * @param extents in order, without gaps, from 0 to `size`
   * @throws NbdServerError `SOURCE` where they are not
   */
  constructor(extents: Iterable<SourceExtent>, size: number) {
    const borders = new Borders();
    let position = 0;
    let last: SourceExtent['kind'] | undefined;
    let first: SourceExtent['kind'] | undefined;
    for (const { start, length, kind } of extents) {
      if (start !== position || !(length > 0)) {
        throw new NbdServerError('SOURCE', `extents: ${start}+${length}, where ${position} was expected`);
      }
      if (last !== kind) borders.push(start);
      first ??= kind;
      last = kind;
      position = start + length;
    }
    if (position !== size) throw new NbdServerError('SOURCE', `extents end at ${position}, not at ${size}`);
    borders.push(size);
    this.#borders = borders.finish();
    this.#firstIsZero = first === 'zero';
  }

  /** Extents that cover the range; the first may begin before it, the last may end behind it. */
  *range(offset: number, length: number): Generator<SourceExtent> {
    const end = offset + length;
    for (let i = this.#find(offset); i + 1 < this.#borders.length; i++) {
      const start = this.#borders[i] ?? 0;
      if (start >= end) return;
      const zero = (i % 2 === 0) === this.#firstIsZero;
      yield { start, length: (this.#borders[i + 1] ?? 0) - start, kind: zero ? 'zero' : 'data' };
    }
  }

  /** The last border at or before the offset. */
  #find(offset: number): number {
    let low = 0;
    let high = this.#borders.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if ((this.#borders[middle] ?? 0) <= offset) low = middle;
      else high = middle;
    }
    return low;
  }
}

/** A list of numbers that grows. */
class Borders {
  #list = new Float64Array(64);
  #count = 0;

  push(value: number): void {
    if (this.#count === this.#list.length) {
      const longer = new Float64Array(2 * this.#count);
      longer.set(this.#list);
      this.#list = longer;
    }
    this.#list[this.#count++] = value;
  }

  finish(): Float64Array {
    return this.#list.slice(0, this.#count);
  }
}
