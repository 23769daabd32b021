import { join } from 'node:path';
import { type Host, HostError } from '@virtnbd/host';
import { RestoreError } from './errors.ts';

/** While it is written, a file has this after its name. */
const PARTIAL = '.partial';
/** More than any domain XML that is written here. */
const MAX_XML = 16 << 20;

/**
 * The folder that a restore writes to. Files get their names only when all of them are complete; `discard` takes away
 * what this restore made, and nothing else.
 */
export class TargetFolder {
  readonly path: string;
  readonly #host: Host;
  readonly #made = new Set<string>();

  private constructor(host: Host, path: string) {
    this.#host = host;
    this.path = path;
  }

  /**
   * Makes the folder (0700) if it is not there, and looks whether all names are free.
   *
   * @throws RestoreError TARGET_EXISTS, TARGET_BUSY
   */
  static async open(host: Host, path: string, names: readonly string[]): Promise<TargetFolder> {
    await host.files.makeFolder(path, { recursive: true });
    const folder = new TargetFolder(host, path);
    for (const name of names) {
      if ((await host.files.stat(join(path, name))) !== null) throw exists(join(path, name));
      if ((await host.files.stat(folder.#partial(name))) !== null) throw busy(folder.#partial(name));
    }
    return folder;
  }

  /** Creates an empty file for `name` and returns its path, which is another one until `finish`. */
  async create(name: string): Promise<string> {
    const path = this.#partial(name);
    try {
      await (await this.#host.files.open(path, 'create')).close();
    } catch (error) {
      throw error instanceof HostError && error.code === 'EXISTS' ? busy(path, error) : error;
    }
    this.#made.add(path);
    return path;
  }

  /**
   * Writes a small text file; one that is there already and says the same may stay.
   *
   * @throws RestoreError TARGET_EXISTS when it says something else
   */
  async writeText(name: string, text: string): Promise<void> {
    const path = join(this.path, name);
    if ((await this.#host.files.stat(path)) !== null) {
      const there = await this.#host.files.readSmall(path, MAX_XML);
      if (Buffer.from(there).equals(Buffer.from(text))) return;
      throw exists(path);
    }
    await this.#host.files.writeAtomic(path, text, { mode: 0o600, replace: false });
    this.#made.add(path);
  }

  /** Gives the created files their names, and makes that last. */
  async finish(names: readonly string[]): Promise<void> {
    for (const name of names) {
      const path = join(this.path, name);
      await this.#host.files.rename(this.#partial(name), path, { replace: false });
      this.#made.delete(this.#partial(name));
      this.#made.add(path);
    }
    await this.#host.files.syncFolder(this.path);
  }

  /** Removes every file that this restore made. */
  async discard(): Promise<void> {
    for (const path of this.#made) await this.#host.files.remove(path);
  }

  #partial(name: string): string {
    return join(this.path, `${name}${PARTIAL}`);
  }
}

function exists(path: string): RestoreError {
  return new RestoreError('TARGET_EXISTS', `${path} is there already; restore into another folder`);
}

function busy(path: string, cause?: unknown): RestoreError {
  return new RestoreError(
    'TARGET_BUSY',
    `${path} is there: another restore into this folder runs, or one was interrupted; if none runs, remove the file`,
    { cause },
  );
}
