/** Room before a payload for any header, so that both leave in one piece. */
export const HEADROOM = 64;

const SMALLEST = 4096;

/**
 * Buffers that are used again: fresh memory of that size costs more (page faults) than filling it. Only give a buffer back
 * that nobody else can still write to or read from.
 */
export class BufferPool {
  readonly #free = new Map<number, Buffer[]>();
  readonly #keep: number;
  #idle = 0;

  /** @param keep bytes of idle buffers to keep */
  constructor(keep: number) {
    this.#keep = keep;
  }

  /** A buffer with room for the headroom and the payload. Its content is undefined. */
  take(payload: number): Buffer {
    const size = sizeClass(payload);
    const buffer = this.#free.get(size)?.pop();
    if (buffer === undefined) return Buffer.allocUnsafeSlow(HEADROOM + size);
    this.#idle -= size;
    return buffer;
  }

  give(buffer: Buffer): void {
    const size = buffer.byteLength - HEADROOM;
    if (this.#idle + size > this.#keep) return;
    const list = this.#free.get(size) ?? [];
    list.push(buffer);
    this.#free.set(size, list);
    this.#idle += size;
  }
}

/** Bytes that a payload takes in memory: the next power of two. */
export function sizeClass(payload: number): number {
  return payload <= SMALLEST ? SMALLEST : 2 ** (32 - Math.clz32(payload - 1));
}
