/** Calls once when nothing has happened for a while, as long as it is armed. */
export class IdleWatch {
  readonly #timeoutMs: number;
  readonly #onSilence: () => void;
  #timer: NodeJS.Timeout | undefined;

  /** @param timeoutMs 0 for never */
  constructor(timeoutMs: number, onSilence: () => void) {
    this.#timeoutMs = timeoutMs;
    this.#onSilence = onSilence;
  }

  /** Begins to wait; does nothing where it waits already. */
  arm(): void {
    if (this.#timeoutMs > 0 && this.#timer === undefined) this.#timer = setTimeout(this.#onSilence, this.#timeoutMs);
  }

  /** Something happened: the wait begins anew. */
  touch(): void {
    this.#timer?.refresh();
  }

  disarm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
