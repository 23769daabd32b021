import { type Piece, SpareBuffers } from '@virtnbd/stream-format';

/** Bytes of pieces that are being loaded at a time, unless one alone is larger. */
const LOADING_BYTES = 32 * 1024 * 1024;
/** Buffers of pieces that are kept for the pieces to come. */
const SPARE_PIECES = 8;

interface Entry {
  readonly loaded: Promise<Piece>;
  piece: Piece | undefined;
  /** Those who wait for the piece or copy from it, the load among them. */
  users: number;
  dropped: boolean;
}

/** Keeps decompressed pieces up to a number of bytes, the last used ones; the newest one always. */
export class PieceCache {
  readonly #limit: number;
  /** Least recently used first, those that are being loaded among them. */
  readonly #entries = new Map<string, Entry>();
  readonly #spare = new SpareBuffers(SPARE_PIECES);
  readonly #waiting: (() => void)[] = [];
  #bytes = 0;
  #loadingBytes = 0;

  /** @param limit bytes */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Whether a piece is kept, or being loaded. */
  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /**
   * Lets `use` look at the piece under a key, whose bytes are its own during the call only; it is loaded when it is not kept.
   * Who asks while it is being loaded waits for the same load; a load that failed is not kept. Loads wait for one another
   * where they would take too much memory together.
   *
   * @param size bytes that the piece will have, at most
   * @param load gets where to take the bytes from
   */
  async use<T>(
    key: string,
    size: number,
    load: (take: (length: number) => Uint8Array) => Promise<Piece>,
    use: (piece: Piece) => T,
  ): Promise<T> {
    const entry = this.#entries.get(key) ?? this.#begin(key, size, load);
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    entry.users++;
    try {
      return use(await entry.loaded);
    } finally {
      this.#leave(entry);
    }
  }

  #begin(key: string, size: number, load: (take: (length: number) => Uint8Array) => Promise<Piece>): Entry {
    const loaded = this.#inTurn(size, () => load((length) => this.#spare.take(length)));
    const entry: Entry = { loaded, piece: undefined, users: 1, dropped: false };
    loaded.then(
      (piece) => {
        entry.piece = piece;
        this.#bytes += piece.bytes.length;
        this.#dropOldest(entry);
        this.#leave(entry);
      },
      () => {
        if (this.#entries.get(key) === entry) this.#entries.delete(key);
      },
    );
    return entry;
  }

  async #inTurn(size: number, load: () => Promise<Piece>): Promise<Piece> {
    while (this.#loadingBytes > 0 && this.#loadingBytes + size > LOADING_BYTES) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#loadingBytes += size;
    try {
      return await load();
    } finally {
      this.#loadingBytes -= size;
      for (const resume of this.#waiting.splice(0)) resume();
    }
  }

  #dropOldest(newest: Entry): void {
    for (const [key, entry] of this.#entries) {
      if (this.#bytes <= this.#limit) return;
      if (entry === newest || entry.piece === undefined) continue;
      this.#entries.delete(key);
      this.#bytes -= entry.piece.bytes.length;
      entry.dropped = true;
      if (entry.users === 0) this.#spare.give(entry.piece.bytes);
    }
  }

  #leave(entry: Entry): void {
    entry.users--;
    if (entry.users === 0 && entry.dropped && entry.piece !== undefined) this.#spare.give(entry.piece.bytes);
  }
}
