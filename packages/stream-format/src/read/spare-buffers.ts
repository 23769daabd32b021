/** Buffers that are used again: large ones that come and go by thousands keep the garbage collector busy. */
export class SpareBuffers {
  readonly #limit: number;
  readonly #mostBytes: number;
  readonly #spare: Uint8Array[] = [];
  #bytes = 0;

  /**
   * @param limit buffers that are kept
   * @param mostBytes of all of them
   */
  constructor(limit: number, mostBytes = Number.POSITIVE_INFINITY) {
    this.#limit = limit;
    this.#mostBytes = mostBytes;
  }

  /** A buffer of that length, with anything in it. One that is far too large is left for others. */
  take(length: number): Uint8Array {
    const found = this.#spare.findIndex(
      ({ buffer: { byteLength } }) => byteLength >= length && byteLength <= 4 * Math.max(length, 4096),
    );
    const [spare] = found < 0 ? [] : this.#spare.splice(found, 1);
    if (spare === undefined) return new Uint8Array(length);
    this.#bytes -= spare.buffer.byteLength;
    return new Uint8Array(spare.buffer, 0, length);
  }

  /** Nobody may use the buffer any more. */
  give(buffer: Uint8Array): void {
    this.#spare.push(buffer);
    this.#bytes += buffer.buffer.byteLength;
    while (this.#spare.length > this.#limit || this.#bytes > this.#mostBytes) {
      this.#bytes -= this.#spare.shift()?.buffer.byteLength ?? 0;
    }
  }
}
