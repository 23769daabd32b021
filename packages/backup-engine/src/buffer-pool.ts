/** A fixed number of buffers of one size: the bound on what a copy keeps in memory. */
export class BufferPool {
  readonly #free: Buffer[] = [];
  readonly #waiting: ((buffer: Buffer) => void)[] = [];
  #left: number;
  readonly #size: number;

  /** @param count buffers at most; each is allocated when first needed. @param size bytes of each */
  constructor(count: number, size: number) {
    this.#left = count;
    this.#size = size;
  }

  /** A free buffer, as soon as there is one; rejects with the signal's reason. */
  acquire(signal: AbortSignal): Promise<Buffer> {
    signal.throwIfAborted();
    const free = this.#free.pop();
    if (free) return Promise.resolve(free);
    if (this.#left > 0) {
      this.#left -= 1;
      return Promise.resolve(Buffer.allocUnsafeSlow(this.#size));
    }
    return new Promise((resolve, reject) => {
      const take = (buffer: Buffer): void => {
        signal.removeEventListener('abort', stop);
        resolve(buffer);
      };
      const stop = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(take), 1);
        reject(signal.reason);
      };
      this.#waiting.push(take);
      signal.addEventListener('abort', stop, { once: true });
    });
  }

  /** Gives a buffer back; nothing may write to it any more. */
  release(buffer: Buffer): void {
    const next = this.#waiting.shift();
    if (next) next(buffer);
    else this.#free.push(buffer);
  }
}
