import type { Host, HostFile } from './host.ts';

/** Bytes that may be written before they are sent on their way to the disk. */
const STRIDE = 128 << 20;

/**
 * Sends what is written to files to stable storage while more is being written, by this program or another one, so that
 * not all of it is left to the sync at the end: the disk works at the same time as the writer.
 */
export class EarlySync implements AsyncDisposable {
  readonly #files: readonly HostFile[];
  #ownsFiles = false;
  #waiting = 0;
  #syncing: Promise<void> | undefined;
  /** The system tells a failure to write once: it is kept for `finish`. */
  #failure: { readonly error: unknown } | undefined;

  /** @param files open since before the first byte was written, so that no failure to write one is missed */
  constructor(files: readonly HostFile[]) {
    this.#files = files;
  }

  /** Of files that another program is going to write. */
  static async open(host: Host, paths: readonly string[]): Promise<EarlySync> {
    const files: HostFile[] = [];
    try {
      for (const path of paths) files.push(await host.files.open(path, 'read-write'));
    } catch (error) {
      for (const file of files) await file.close();
      throw error;
    }
    const sync = new EarlySync(files);
    sync.#ownsFiles = true;
    return sync;
  }

  /** So many more bytes were written. */
  written(bytes: number): void {
    this.#waiting += bytes;
    if (this.#waiting < STRIDE || this.#syncing !== undefined) return;
    this.#waiting = 0;
    this.#syncing = this.#syncAll()
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#syncing = undefined;
      });
  }

  /** Resolves when all that was written is on stable storage. @throws HostError */
  async finish(): Promise<void> {
    await this.#syncing;
    if (this.#failure !== undefined) throw this.#failure.error;
    await this.#syncAll();
  }

  /**
   * Waits for what is under way, and closes files that it has opened. That closing fails is not told: after `finish` nothing
   * is left to lose, and else it would hide why.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#syncing;
    if (!this.#ownsFiles) return;
    for (const file of this.#files) await file.close().catch(() => undefined);
  }

  async #syncAll(): Promise<void> {
    for (const file of this.#files) await file.sync();
  }
}
