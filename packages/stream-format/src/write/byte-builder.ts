/** Bytes that grow at their end, by doubling; numbers as LEB128: seven bits a byte, low ones first. */
export class ByteBuilder {
  #bytes = new Uint8Array(256);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** @param value a safe integer, 0 or more */
  number(value: number): void {
    if (this.#length + 8 > this.#bytes.length) {
      const grown = new Uint8Array(this.#bytes.length * 2);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.#bytes[this.#length++] = (rest % 128) + 128;
    this.#bytes[this.#length++] = rest;
  }

  /** The bytes so far; no copy. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }
}

/** Reads what `ByteBuilder` wrote. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#position === this.#bytes.length;
  }

  /** The next number; undefined when there is none, or when it is not a safe integer in its shortest form. */
  number(): number | undefined {
    let value = 0;
    for (let scale = 1; scale <= 2 ** 49; scale *= 128) {
      const byte = this.#bytes[this.#position];
      if (byte === undefined) return undefined;
      this.#position++;
      value += (byte % 128) * scale;
      if (byte < 128) return (byte === 0 && scale > 1) || !Number.isSafeInteger(value) ? undefined : value;
    }
    return undefined;
  }
}
