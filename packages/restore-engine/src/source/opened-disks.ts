import type { OpenedContent } from './content.ts';

/** Ranges of data of disks that are kept open: their indexes take some 60 MB together. */
const KEPT_EXTENTS = 1 << 20;

/**
 * Disks that were opened to be looked at, and are kept until they are written: the index of a fragmented disk takes time
 * and memory to make. Those that are too much together are opened again.
 */
export class OpenedDisks implements AsyncDisposable {
  readonly #kept = new Map<string, OpenedContent>();
  #extents = 0;

  /** Keeps a disk, or closes it at once. */
  async add(disk: string, opened: OpenedContent, extents: number): Promise<void> {
    if (this.#extents + extents > KEPT_EXTENTS && this.#kept.size > 0) return await opened[Symbol.asyncDispose]();
    this.#kept.set(disk, opened);
    this.#extents += extents;
  }

  /** Gives a disk away, which the caller closes; null when it was not kept. */
  take(disk: string): OpenedContent | null {
    const opened = this.#kept.get(disk) ?? null;
    this.#kept.delete(disk);
    return opened;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opened of this.#kept.values()) await opened[Symbol.asyncDispose]();
    this.#kept.clear();
  }
}
