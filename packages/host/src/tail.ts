/** Keeps the last bytes of what a program says. */
export class Tail {
  readonly #limit: number;
  #chunks: Uint8Array[] = [];
  #length = 0;

  /** @param limit bytes to keep */
  constructor(limit: number) {
    this.#limit = limit;
  }

  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    // Cut now and then, not at every chunk: a talkative program costs no copy a line.
    if (this.#length > this.#limit * 2) this.#cut();
  }

  text(): string {
    this.#cut();
    return new TextDecoder().decode(Buffer.concat(this.#chunks));
  }

  #cut(): void {
    if (this.#length <= this.#limit) return;
    const last = Buffer.concat(this.#chunks).subarray(-this.#limit);
    // A copy, so that the rest can go.
    this.#chunks = [Uint8Array.from(last)];
    this.#length = last.length;
  }
}
