/**
 * Which bytes of a read have arrived. In order, as servers nearly always send them, this is one number; from the first
 * chunk out of order on it is one bit a byte, so that a hostile server cannot make it slow or large: 1/8 of the
 * request's length, and every byte is marked once at most.
 */
export class Coverage {
  readonly #length: number;
  #covered = 0;
  #bits: Uint8Array | undefined;

  constructor(length: number) {
    this.#length = length;
  }

  get complete(): boolean {
    return this.#covered === this.#length;
  }

  /**
   * Marks a range, relative to the request's start, as arrived.
   *
   * @returns false where it leaves the request or overlaps what had arrived; then the whole coverage is void
   */
  add(start: number, length: number): boolean {
    if (start < 0 || length > this.#length - start) return false;
    if (this.#bits === undefined) {
      if (start === this.#covered) {
        this.#covered += length;
        return true;
      }
      this.#bits = new Uint8Array(Math.ceil(this.#length / 8));
      mark(this.#bits, 0, this.#covered);
    }
    this.#covered += length;
    return mark(this.#bits, start, start + length);
  }
}

/** @returns false where a bit in [start, end) was set before */
function mark(bits: Uint8Array, start: number, end: number): boolean {
  const first = start >> 3;
  const last = (end - 1) >> 3;
  for (let index = first; index <= last; index++) {
    let mask = 0xff;
    if (index === first) mask &= 0xff << (start & 7);
    if (index === last) mask &= 0xff >> (7 - ((end - 1) & 7));
    const before = bits[index] ?? 0;
    if ((before & mask) !== 0) return false;
    bits[index] = before | mask;
  }
  return true;
}
