/** Counts what is under way, up to a limit. */
export class Slots {
  readonly #limit: number;
  #used = 0;
  #waiting: (() => void)[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  get full(): boolean {
    return this.#used >= this.#limit;
  }

  /** Starts to count the work. What it rejects with is dropped: it has told its own failure where it matters. */
  run(work: Promise<void>): void {
    this.#used++;
    const done = () => {
      this.#used--;
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const wake of waiting) wake();
    };
    work.then(done, done);
  }

  /** Resolves when less than the limit is under way. */
  async free(): Promise<void> {
    while (this.full) await this.#change();
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    while (this.#used > 0) await this.#change();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
