import { randomBytes } from 'node:crypto';
import { chmod, lchown, lstat, lutimes, mkdir, open, realpath, rename, rm, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { moveWithoutReplacing } from './atomic-write.ts';
import { errnoOf, fileError, HostError, naming, printable } from './errors.ts';

/** What a file, folder or link gets besides its content. */
export interface Attributes {
  /** Permission bits; those that give a program the rights of its owner are never set. Not for a link. */
  readonly mode?: number | undefined;
  /** Seconds since 1970. */
  readonly modified?: number | undefined;
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
}

const PERMISSIONS = 0o777;

/**
 * Puts files, folders and links whose names come from elsewhere into one folder of this machine, and nothing outside of it:
 * names are checked, and a link inside is never followed. Paths are relative to the folder.
 */
export class LocalTree implements AsyncDisposable {
  /**
   * Where files are made before they get their names: in the same file system, closed to others. The folder is made with the
   * first of them.
   */
  readonly staging: string;
  readonly #root: string;
  readonly #folders = new Set<string>(['']);
  #staged: Promise<void> | undefined;

  private constructor(root: string, staging: string) {
    this.#root = root;
    this.staging = staging;
  }

  /** @throws HostError where the folder is none */
  static async open(folder: string): Promise<LocalTree> {
    return await naming('cannot write into', folder, async () => {
      const root = await realpath(folder);
      if (!(await lstat(root)).isDirectory()) throw new HostError('WRONG_KIND', `${printable(folder)} is no folder`);
      return new LocalTree(root, join(root, `.virtnbd-${randomBytes(6).toString('hex')}.partial`));
    });
  }

  /** A new, empty file in {@link staging}. */
  async stage(): Promise<string> {
    return await naming('cannot write into', this.#root, async () => {
      this.#staged ??= mkdir(this.staging, { mode: 0o700 });
      await this.#staged;
      const path = join(this.staging, randomBytes(6).toString('hex'));
      const file = await open(path, 'wx', 0o600);
      await file.close();
      return path;
    });
  }

  /** What stands at a path, links not followed; null for nothing. */
  async kindOf(path: string): Promise<'file' | 'folder' | 'link' | 'other' | null> {
    const stats = await lstat(join(this.#root, checked(path))).catch((cause: unknown) => {
      if (errnoOf(cause) === 'ENOENT') return null;
      throw fileError(cause, 'cannot look at', path);
    });
    if (stats === null) return null;
    if (stats.isSymbolicLink()) return 'link';
    if (stats.isDirectory()) return 'folder';
    return stats.isFile() ? 'file' : 'other';
  }

  /** Makes a folder; one that is there stays. @throws HostError EXISTS where something else is there */
  async makeFolder(path: string): Promise<void> {
    if (this.#folders.has(path)) return;
    await this.#requireParent(path);
    const kind = await this.kindOf(path);
    if (kind === null) await this.#do('make', path, (full) => mkdir(full, { mode: 0o700 }));
    else if (kind !== 'folder') throw exists(path, `a ${kind} is there`);
    this.#folders.add(path);
  }

  /** Gives a staged file its place. @throws HostError EXISTS unless `replace` is set */
  async place(staged: string, path: string, options: { replace: boolean }): Promise<void> {
    await this.#makeRoom(path, options);
    await this.#do('make', path, (full) =>
      options.replace ? rename(staged, full) : moveWithoutReplacing(staged, full),
    );
  }

  /** A link as it is: where it leads is not looked at. */
  async makeLink(path: string, target: string, options: { replace: boolean }): Promise<void> {
    await this.#makeRoom(path, options);
    await this.#do('make the link', path, (full) => symlink(target, full));
  }

  /** Of a file, folder or link that this tree has made. */
  async setAttributes(path: string, { mode, modified, owner }: Attributes): Promise<void> {
    await this.#do('set the attributes of', path, async (full) => {
      if (owner !== undefined) await lchown(full, owner.uid, owner.gid);
      if (mode !== undefined) await chmod(full, mode & PERMISSIONS);
      if (modified !== undefined) await lutimes(full, modified, modified);
    });
  }

  /** Removes what is staged. */
  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.staging, { recursive: true, force: true });
  }

  async #makeRoom(path: string, { replace }: { replace: boolean }): Promise<void> {
    await this.#requireParent(path);
    const kind = await this.kindOf(path);
    if (kind === null) return;
    if (!replace || kind === 'folder') throw exists(path, `a ${kind} is there`);
    await this.#do('replace', path, (full) => rm(full));
  }

  /** Every folder on the way is a folder indeed, and no link that leads elsewhere. */
  async #requireParent(path: string): Promise<void> {
    const parent = dirname(checked(path));
    if (parent === '.' || this.#folders.has(parent)) return;
    await this.#requireParent(parent);
    const kind = await this.kindOf(parent);
    if (kind !== 'folder') throw exists(parent, `it is a ${kind ?? 'name without a folder'}, and is not followed`);
    this.#folders.add(parent);
  }

  async #do(what: string, path: string, action: (full: string) => Promise<unknown>): Promise<void> {
    const full = join(this.#root, checked(path));
    await naming(`cannot ${what}`, full, () => action(full));
  }
}

function checked(path: string): string {
  const isBad = (part: string): boolean => part === '' || part === '.' || part === '..' || part.includes('\0');
  if (!path.split('/').some(isBad)) return path;
  throw new HostError('BAD_NAME', `${printable(path)} is no path inside a folder`, { path });
}

function exists(path: string, why: string): HostError {
  return new HostError('EXISTS', `${printable(path)} cannot be made: ${why}`, { path });
}
