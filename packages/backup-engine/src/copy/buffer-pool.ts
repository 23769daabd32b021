/** Leases that share a buffer at most: each costs whoever works with it more than its bytes. */
const SHARED_BY = 32;

/** A part of a buffer of the pool. */
export interface Lease {
  readonly bytes: Buffer;
  /** Gives it back, once; nothing may write to it any more. */
  release(): void;
}

interface Slab {
  readonly buffer: Buffer;
  /** Bytes and leases that were cut from it since it was free. */
  used: number;
  cut: number;
  /** Of these, not given back yet. */
  leases: number;
}

/**
 * A fixed number of buffers of one size: the bound on what a copy keeps in memory. Small leases share a buffer, so that
 * many of them can be under way at the same time.
 */
export class BufferPool {
  readonly #free: Slab[] = [];
  readonly #waiting: ((slab: Slab) => void)[] = [];
  #left: number;
  readonly #size: number;
  /** The buffer that small leases are cut from. */
  #open: Slab | undefined;

  /** @param count buffers at most; each is allocated when first needed. @param size bytes of each */
  constructor(count: number, size: number) {
    this.#left = count;
    this.#size = size;
  }

  /**
   * So many bytes, as soon as they are there; rejects with the signal's reason. One call at a time.
   *
   * @param length of at most a buffer
   */
  async acquire(length: number, signal: AbortSignal): Promise<Lease> {
    signal.throwIfAborted();
    let slab = this.#open;
    if (slab === undefined || slab.used + length > this.#size || slab.cut === SHARED_BY)
      slab = await this.#next(signal);
    const bytes = slab.buffer.subarray(slab.used, slab.used + length);
    slab.used += length;
    slab.cut += 1;
    slab.leases += 1;
    this.#open = slab;
    const from = slab;
    return { bytes, release: () => this.#release(from) };
  }

  #next(signal: AbortSignal): Promise<Slab> {
    const free = this.#free.pop();
    if (free) return Promise.resolve(free);
    if (this.#left > 0) {
      this.#left -= 1;
      return Promise.resolve({ buffer: Buffer.allocUnsafeSlow(this.#size), used: 0, cut: 0, leases: 0 });
    }
    return new Promise((resolve, reject) => {
      const take = (slab: Slab): void => {
        signal.removeEventListener('abort', stop);
        resolve(slab);
      };
      const stop = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(take), 1);
        reject(signal.reason);
      };
      this.#waiting.push(take);
      signal.addEventListener('abort', stop, { once: true });
    });
  }

  #release(slab: Slab): void {
    slab.leases -= 1;
    if (slab.leases > 0) return;
    slab.used = 0;
    slab.cut = 0;
    // It goes on being cut from.
    if (slab === this.#open && this.#waiting.length === 0) return;
    if (slab === this.#open) this.#open = undefined;
    const next = this.#waiting.shift();
    if (next) next(slab);
    else this.#free.push(slab);
  }
}
