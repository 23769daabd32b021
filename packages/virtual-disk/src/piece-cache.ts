import type { Piece } from '@virtnbd/stream-format';

/** Bytes of pieces that are being loaded at a time, unless one alone is larger. */
const LOADING_BYTES = 32 * 1024 * 1024;

/** Keeps decompressed pieces up to a number of bytes, the last used ones; the newest one always. */
export class PieceCache {
  readonly #limit: number;
  /** Least recently used first. */
  readonly #pieces = new Map<string, Piece>();
  readonly #loading = new Map<string, Promise<Piece>>();
  readonly #waiting: (() => void)[] = [];
  #bytes = 0;
  #loadingBytes = 0;

  /** @param limit bytes */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Whether a piece is kept, or being loaded. */
  has(key: string): boolean {
    return this.#pieces.has(key) || this.#loading.has(key);
  }

  /**
   * The piece under a key, loaded when it is not kept. Who asks while it is being loaded waits for the same load; a load
   * that failed is not kept. Loads wait for one another where they would take too much memory together.
   *
   * @param size bytes that the piece will have, at most
   */
  async get(key: string, size: number, load: () => Promise<Piece>): Promise<Piece> {
    const kept = this.#pieces.get(key);
    if (kept !== undefined) {
      this.#pieces.delete(key);
      this.#pieces.set(key, kept);
      return kept;
    }
    const loading = this.#loading.get(key);
    if (loading !== undefined) return await loading;
    const promise = this.#inTurn(size, load);
    this.#loading.set(key, promise);
    try {
      const piece = await promise;
      this.#keep(key, piece);
      return piece;
    } finally {
      this.#loading.delete(key);
    }
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

  #keep(key: string, piece: Piece): void {
    this.#pieces.set(key, piece);
    this.#bytes += piece.bytes.length;
    for (const [oldest, { bytes }] of this.#pieces) {
      if (this.#bytes <= this.#limit || oldest === key) break;
      this.#pieces.delete(oldest);
      this.#bytes -= bytes.length;
    }
  }
}
