import type { Piece } from '@virtnbd/stream-format';

/** Keeps decompressed pieces up to a number of bytes, the last used ones; the newest one always. */
export class PieceCache {
  readonly #limit: number;
  /** Least recently used first. */
  readonly #pieces = new Map<string, Piece>();
  readonly #loading = new Map<string, Promise<Piece>>();
  #bytes = 0;

  /** @param limit bytes */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * The piece under a key, loaded when it is not kept. Who asks while it is being loaded waits for the same load; a load
   * that failed is not kept.
   */
  async get(key: string, load: () => Promise<Piece>): Promise<Piece> {
    const kept = this.#pieces.get(key);
    if (kept !== undefined) {
      this.#pieces.delete(key);
      this.#pieces.set(key, kept);
      return kept;
    }
    const loading = this.#loading.get(key);
    if (loading !== undefined) return await loading;
    const promise = load();
    this.#loading.set(key, promise);
    try {
      const piece = await promise;
      this.#keep(key, piece);
      return piece;
    } finally {
      this.#loading.delete(key);
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
