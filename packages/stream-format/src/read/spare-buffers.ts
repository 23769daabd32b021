/** Buffers that are used again: large ones that come and go by thousands keep the garbage collector busy. */
export class SpareBuffers {
  readonly #limit: number;
  readonly #spare: Uint8Array[] = [];

  /** @param limit buffers that are kept */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** A buffer of that length, with anything in it. One that is far too large is left for others. */
  take(length: number): Uint8Array {
    const found = this.#spare.findIndex(
      ({ buffer: { byteLength } }) => byteLength >= length && byteLength <= 4 * Math.max(length, 4096),
    );
    const [spare] = found < 0 ? [] : this.#spare.splice(found, 1);
    return spare === undefined ? new Uint8Array(length) : new Uint8Array(spare.buffer, 0, length);
  }

  /** Nobody may use the buffer any more. */
  give(buffer: Uint8Array): void {
    this.#spare.push(buffer);
    if (this.#spare.length > this.#limit) this.#spare.shift();
  }
}
