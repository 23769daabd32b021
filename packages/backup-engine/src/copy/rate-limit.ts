import { setTimeout as sleep } from 'node:timers/promises';
import type { BlockReader } from './copy-disk.ts';

/** Holds all reads of a run to a number of bytes a second. */
export class RateLimit {
  readonly #bytesPerSecond: number;
  readonly #now: () => number;
  /** When what was let through so far has had its time, milliseconds. */
  #free = 0;

  /** @param bytesPerSecond more than 0 @param now milliseconds of a steady clock */
  constructor(bytesPerSecond: number, now: () => number = () => performance.now()) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#now = now;
  }

  /** Milliseconds until `bytes` more may pass; they count as passed from then on. */
  reserve(bytes: number): number {
    const now = this.#now();
    const start = Math.max(now, this.#free);
    this.#free = start + (bytes / this.#bytesPerSecond) * 1000;
    return start - now;
  }

  /** The same reader, which waits before each read. */
  over(reader: BlockReader): BlockReader {
    return {
      read: async (offset, buffer, options = {}) => {
        const { signal } = options;
        const wait = this.reserve(buffer.length);
        if (wait > 0) await sleep(wait, undefined, signal && { signal }).catch(() => signal?.throwIfAborted());
        await reader.read(offset, buffer, options);
      },
    };
  }
}
