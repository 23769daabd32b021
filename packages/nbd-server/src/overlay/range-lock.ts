interface Held {
  readonly first: number;
  readonly last: number;
  readonly freed: Promise<void>;
}

/** Lets changes of different ranges go side by side, and those that touch one another one after the other. */
export class RangeLock {
  readonly #held = new Set<Held>();

  /** Runs the work alone among all whose range (both ends included) overlaps. */
  async run<T>(first: number, last: number, work: () => Promise<T>): Promise<T> {
    for (let other = this.#overlapping(first, last); other !== undefined; other = this.#overlapping(first, last)) {
      await other.freed;
    }
    let free = () => {};
    const freed = new Promise<void>((resolve) => {
      free = resolve;
    });
    const held = { first, last, freed };
    this.#held.add(held);
    try {
      return await work();
    } finally {
      this.#held.delete(held);
      free();
    }
  }

  #overlapping(first: number, last: number): Held | undefined {
    for (const held of this.#held) if (held.first <= last && first <= held.last) return held;
    return undefined;
  }
}
