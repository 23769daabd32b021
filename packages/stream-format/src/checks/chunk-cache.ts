import { SpareBuffers } from '../read/spare-buffers.ts';

interface Entry {
  readonly bytes: Uint8Array;
  readonly loaded: Promise<void>;
  /** Those who wait for the bytes or copy from them, the load among them. */
  users: number;
  dropped: boolean;
}

/** Chunks kept for the reads that come after, the last used ones. A chunk that is being read is shared by all who ask for it. */
export class ChunkCache {
  readonly #count: number;
  /** Least recently used first. */
  readonly #entries = new Map<number, Entry>();
  readonly #spare: SpareBuffers;
  /** The chunk that was used last. */
  #newest = -1;

  /** @param count chunks that are kept */
  constructor(count: number) {
    this.#count = count;
    this.#spare = new SpareBuffers(count);
  }

  has(chunk: number): boolean {
    return this.#entries.has(chunk);
  }

  /**
   * Lets `use` look at the bytes of a chunk, which are its own during the call only. A load that failed is not kept.
   *
   * @param load fills the bytes
   */
  async use(
    chunk: number,
    length: number,
    load: (bytes: Uint8Array) => Promise<void>,
    use: (bytes: Uint8Array) => void,
  ): Promise<void> {
    const entry = this.#entry(chunk, length, load);
    entry.users++;
    try {
      await entry.loaded;
      use(entry.bytes);
    } finally {
      this.#leave(entry);
    }
  }

  /** Begins to load a chunk. A failure is told to who uses it. */
  prefetch(chunk: number, length: number, load: (bytes: Uint8Array) => Promise<void>): void {
    if (!this.#entries.has(chunk)) this.#entry(chunk, length, load);
  }

  #entry(chunk: number, length: number, load: (bytes: Uint8Array) => Promise<void>): Entry {
    const known = this.#entries.get(chunk);
    if (known !== undefined) {
      this.#touch(chunk, known);
      return known;
    }
    const bytes = this.#spare.take(length);
    const entry: Entry = { bytes, loaded: load(bytes), users: 1, dropped: false };
    this.#entries.set(chunk, entry);
    this.#newest = chunk;
    entry.loaded.then(
      () => this.#leave(entry),
      () => {
        if (this.#entries.get(chunk) === entry) this.#entries.delete(chunk); // a failed read may be tried again
        entry.dropped = true;
        this.#leave(entry);
      },
    );
    this.#dropOldest();
    return entry;
  }

  #touch(chunk: number, entry: Entry): void {
    // A map that is rewritten at every read of a sequence leaves much behind, which V8 keeps until it clears everything.
    if (chunk === this.#newest) return;
    this.#entries.delete(chunk);
    this.#entries.set(chunk, entry);
    this.#newest = chunk;
  }

  #dropOldest(): void {
    const [oldest] = this.#entries.keys();
    if (this.#entries.size <= this.#count || oldest === undefined) return;
    const entry = this.#entries.get(oldest);
    this.#entries.delete(oldest);
    if (entry === undefined) return;
    entry.dropped = true;
    if (entry.users === 0) this.#spare.give(entry.bytes);
  }

  #leave(entry: Entry): void {
    entry.users--;
    if (entry.users === 0 && entry.dropped) this.#spare.give(entry.bytes);
  }
}
