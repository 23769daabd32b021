interface Turn {
  readonly take: () => Promise<void>;
  readonly fail: (reason: unknown) => void;
}

/** Gives frames their turns in the order of the calls. After a failure none gets one any more. */
export class FrameQueue {
  readonly #waiting: Turn[] = [];
  #failure: { readonly error: unknown } | undefined;
  #busy = false;

  /** The first failure. */
  get failure(): { readonly error: unknown } | undefined {
    return this.#failure;
  }

  /** Keeps the first failure and returns it. */
  fail(error: unknown): unknown {
    this.#failure ??= { error };
    return this.#failure.error;
  }

  /** Does the work after that of all calls before; settles as it does, or fails as one of these did. */
  turn<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ take: () => work().then(resolve), fail: reject });
      if (!this.#busy) void this.#goOn();
    });
  }

  async #goOn(): Promise<void> {
    this.#busy = true;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      try {
        if (this.#failure) throw this.#failure.error;
        await next.take();
      } catch (error) {
        next.fail(this.fail(error));
      }
    }
    this.#busy = false;
  }
}
