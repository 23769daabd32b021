import { join } from 'node:path';
import { FileLock } from '@virtnbd/backup-set';
import { type Host, HostError } from '@virtnbd/host';
import { RestoreError } from '../errors.ts';
import { decodeTrace, encodeTrace, TRACE_LIMIT } from './restore-trace.ts';

/** While it is written, a file has this after its name. */
export const PARTIAL = '.partial';
/** What says that a restore is under way, and by whom. */
const LOCK = 'virtnbdrestore.lock';
/** What that restore makes: what a later one clears away, should it be interrupted. */
const TRACE = 'virtnbdrestore.trace.json';
/** More than any domain XML that is written here. */
const MAX_TEXT = 16 << 20;

/**
 * The folder that a restore writes to. Files get their names only when all of them are complete; `discard` takes away
 * what this restore made, and nothing else. A process that is killed leaves files with `.partial` after their names and
 * a trace of which they are; the next restore into the folder removes exactly those.
 */
export class TargetFolder {
  readonly path: string;
  readonly #host: Host;
  readonly #lock: FileLock;
  readonly #force: boolean;
  readonly #made = new Set<string>();

  private constructor(host: Host, path: string, lock: FileLock, force: boolean) {
    this.#host = host;
    this.path = path;
    this.#lock = lock;
    this.#force = force;
  }

  /**
   * Makes the folder (0700 unless told) if it is not there, locks it, clears away what a killed restore has left, and looks whether
   * all names are free.
   *
   * @param names of the files that will be made
   * @param options.mode of the folder, if it is made
   * @param options.force the names may be taken: the files are replaced when the new ones are complete
   * @param options.onCleared told the names of files that a killed restore had left
   * @throws RestoreError TARGET_EXISTS, TARGET_BUSY, NAME_CLASH
   */
  static async open(
    host: Host,
    path: string,
    names: readonly string[],
    options: { mode?: number; force?: boolean; onCleared?: (names: readonly string[]) => void } = {},
  ): Promise<TargetFolder> {
    await host.files.makeFolder(path, { recursive: true, mode: options.mode ?? 0o700 });
    const lock = await acquire(host, path);
    try {
      const cleared = await clearLeftovers(host, path);
      if (cleared.length > 0) options.onCleared?.(cleared);
      for (const name of names) {
        requireUsable(name);
        const stat = await host.files.stat(join(path, name));
        if (stat !== null && (options.force !== true || stat.kind !== 'file')) throw exists(join(path, name));
        const partial = join(path, `${name}${PARTIAL}`);
        if ((await host.files.stat(partial)) !== null) throw notOurs(partial);
      }
      await host.files.writeAtomic(join(path, TRACE), encodeTrace(names.map((name) => `${name}${PARTIAL}`)));
      return new TargetFolder(host, path, lock, options.force === true);
    } catch (error) {
      await lock.release().catch(() => undefined);
      throw error;
    }
  }

  /** Where the file for `name` is to be made: another path than it will have in the end. Nothing is there yet. */
  place(name: string): string {
    const path = this.#partial(name);
    this.#made.add(path);
    return path;
  }

  /** Creates an empty file for `name`, with mode 0600, and returns its path, which is another one until `finish`. */
  async create(name: string): Promise<string> {
    const path = this.#partial(name);
    try {
      await (await this.#host.files.open(path, 'create')).close();
    } catch (error) {
      throw error instanceof HostError && error.code === 'EXISTS' ? notOurs(path, error) : error;
    }
    return this.place(name);
  }

  /**
   * Writes a small text file; one that is there already and says the same may stay.
   *
   * @throws RestoreError TARGET_EXISTS when it says something else and may not be replaced
   */
  async writeText(name: string, text: string): Promise<void> {
    const path = join(this.path, name);
    const taken = (await this.#host.files.stat(path)) !== null;
    if (taken && !this.#force) {
      const there = await this.#host.files.readSmall(path, MAX_TEXT);
      if (Buffer.from(there).equals(Buffer.from(text))) return;
      throw exists(path);
    }
    await this.#host.files.writeAtomic(path, text, { mode: 0o600, replace: this.#force });
    // One that was replaced is not brought back by taking the new one away.
    if (!taken) this.#made.add(path);
  }

  /** Gives the created files their names, and makes that last. */
  async finish(names: readonly string[]): Promise<void> {
    for (const name of names) {
      const path = join(this.path, name);
      await this.#host.files.rename(this.#partial(name), path, { replace: this.#force });
      this.#made.delete(this.#partial(name));
      if (!this.#force) this.#made.add(path);
    }
    await this.#host.files.syncFolder(this.path);
  }

  /** Removes every file that this restore made. */
  async discard(): Promise<void> {
    for (const path of this.#made) await this.#host.files.remove(path);
    this.#made.clear();
  }

  /** Lets others restore into the folder. May be called again. */
  async close(): Promise<void> {
    await this.#host.files.remove(join(this.path, TRACE));
    await this.#lock.release();
  }

  #partial(name: string): string {
    return join(this.path, `${name}${PARTIAL}`);
  }
}

async function acquire(host: Host, path: string): Promise<FileLock> {
  try {
    return await FileLock.acquire(host, join(path, LOCK));
  } catch (cause) {
    if (!(cause instanceof Error) || !('code' in cause) || cause.code !== 'LOCKED') throw cause;
    throw new RestoreError('TARGET_BUSY', `another restore into ${path} runs. ${cause.message}`, { cause });
  }
}

/** The lock is ours: whoever left a trace is dead. */
async function clearLeftovers(host: Host, path: string): Promise<string[]> {
  const trace = join(path, TRACE);
  if ((await host.files.stat(trace)) === null) return [];
  const cleared: string[] = [];
  for (const name of decodeTrace(await host.files.readSmall(trace, TRACE_LIMIT), trace)) {
    const left = join(path, name);
    if ((await host.files.stat(left))?.kind !== 'file') continue;
    await host.files.remove(left);
    cleared.push(name);
  }
  await host.files.remove(trace);
  return cleared;
}

/** Names from a backup must not be those that a restore needs itself. */
function requireUsable(name: string): void {
  if (name !== LOCK && name !== TRACE && !name.endsWith(PARTIAL)) return;
  throw new RestoreError('NAME_CLASH', `no image can be named ${name}: a restore names its own files so`);
}

function exists(path: string): RestoreError {
  const text = `${path} is there already; restore into another folder, or replace it: --force`;
  return new RestoreError('TARGET_EXISTS', text);
}

function notOurs(path: string, cause?: unknown): RestoreError {
  const text = `${path} is there, and no restore that is known here has left it; remove it if it is of no use`;
  return new RestoreError('TARGET_EXISTS', text, { cause });
}
