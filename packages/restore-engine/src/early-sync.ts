import type { Host, HostFile } from '@virtnbd/host';

/** Bytes that may be written before they are sent on their way to the disk. */
const STRIDE = 128 << 20;

/**
 * Sends what another program writes to a file to stable storage while it is still writing, so that not all of it is left
 * to the sync at the end: the disk works at the same time as the program.
 */
export class EarlySync implements AsyncDisposable {
  readonly #files: readonly HostFile[];
  #waiting = 0;
  #syncing: Promise<void> | undefined;
  /** The system tells a failure to write once: it is kept for `finish`. */
  #failure: { readonly error: unknown } | undefined;

  private constructor(files: readonly HostFile[]) {
    this.#files = files;
  }

  /** Opened before the first byte is written, so that no failure to write one is missed. */
  static async open(host: Host, paths: readonly string[]): Promise<EarlySync> {
    const files: HostFile[] = [];
    try {
      for (const path of paths) files.push(await host.files.open(path, 'read-write'));
    } catch (error) {
      for (const file of files) await file.close();
      throw error;
    }
    return new EarlySync(files);
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

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#syncing;
    for (const file of this.#files) await file.close();
  }

  async #syncAll(): Promise<void> {
    for (const file of this.#files) await file.sync();
  }
}
