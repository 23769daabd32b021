import type { Dirent, Stats } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rename, rm, rmdir, stat, statfs, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { copyFile, moveWithoutReplacing, publish, syncFolder } from './atomic-write.ts';
import { errnoOf, HostError, naming, printable } from './errors.ts';
import type { DirectoryEntry, EntryKind, FileStat, HostFile, HostFiles, OpenMode, OpenOptions } from './host.ts';
import { openLocalFile } from './local-file.ts';

/** The files of this machine. */
export class LocalFiles implements HostFiles {
  async open(path: string, mode: OpenMode, options: OpenOptions = {}): Promise<HostFile> {
    return await openLocalFile(path, mode, options);
  }

  async readSmall(path: string, maxBytes: number): Promise<Uint8Array> {
    // Looked at before it is opened: opening alone does something to some devices.
    const before = await naming('cannot read', path, () => stat(path));
    if (!before.isFile()) {
      throw new HostError('WRONG_KIND', `cannot read ${printable(path)}: it is not a regular file`, { path });
    }
    await using file = await openLocalFile(path, 'read');
    const size = await file.size();
    if (size > maxBytes) {
      const text = `${printable(path)} has ${size} bytes; at most ${maxBytes} are expected of such a file`;
      throw new HostError('TOO_LARGE', text, { path });
    }
    const content = new Uint8Array(size);
    await file.read(0, content);
    return content;
  }

  async writeAtomic(
    path: string,
    data: Uint8Array | string,
    options: { mode?: number; replace?: boolean } = {},
  ): Promise<void> {
    const { mode = 0o600, replace = true } = options;
    await publish(path, { mode, replace }, (file) => file.write([bytesOf(data)]));
  }

  async createExclusive(path: string, data: Uint8Array | string): Promise<boolean> {
    try {
      await publish(path, { mode: 0o600, replace: false }, (file) => file.write([bytesOf(data)]));
      return true;
    } catch (error) {
      if (error instanceof HostError && error.code === 'EXISTS' && error.path === path) return false;
      throw error;
    }
  }

  async list(path: string): Promise<DirectoryEntry[]> {
    const entries = await naming('cannot list', path, () => readdir(path, { withFileTypes: true }));
    return entries
      .map((entry) => ({ name: entry.name, kind: kindOf(entry) }))
      .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  }

  async stat(path: string): Promise<FileStat | null> {
    return await naming('cannot look at', path, async () => {
      const stats = await stat(path).catch((error: unknown) => {
        if (isAbsent(error)) return null;
        throw error;
      });
      if (stats === null) return null;
      const { size, mode, mtimeMs, uid, gid } = stats;
      return { kind: kindOf(stats), size, mode: mode & 0o7777, modified: mtimeMs, uid, gid };
    });
  }

  async makeFolder(path: string, options: { mode?: number; recursive?: boolean } = {}): Promise<void> {
    const { mode = 0o700, recursive = false } = options;
    await naming('cannot make the folder', path, () =>
      recursive ? makeWithParents(path, mode) : mkdir(path, { mode }),
    );
  }

  async makeTempFolder(parent: string, prefix: string): Promise<string> {
    if (prefix.includes('/')) {
      throw new HostError('BAD_NAME', `a folder's prefix cannot hold a slash: ${printable(prefix)}`, { path: prefix });
    }
    return await naming('cannot make a temporary folder in', parent, () => mkdtemp(join(parent, prefix)));
  }

  async rename(from: string, to: string, options: { replace?: boolean } = {}): Promise<void> {
    await naming(`cannot rename ${printable(from)} to`, to, () =>
      options.replace === true ? rename(from, to) : moveWithoutReplacing(from, to),
    );
  }

  async remove(path: string): Promise<void> {
    await naming('cannot remove', path, () => ignoreAbsent(unlink(path)));
  }

  async removeFolder(path: string, options: { recursive?: boolean } = {}): Promise<void> {
    await naming('cannot remove the folder', path, () =>
      ignoreAbsent(options.recursive === true ? rm(path, { recursive: true }) : rmdir(path)),
    );
  }

  async syncFolder(path: string): Promise<void> {
    await syncFolder(path);
  }

  async chmod(path: string, mode: number): Promise<void> {
    await naming('cannot change the mode of', path, () => chmod(path, mode));
  }

  async freeSpace(path: string): Promise<number> {
    const { bavail, bsize } = await naming('cannot read the free space of', path, () => statfs(path));
    return bavail * bsize;
  }

  async copy(from: string, to: string, options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    await copyFile(from, to, options.signal);
  }
}

function bytesOf(data: Uint8Array | string): Uint8Array {
  return typeof data === 'string' ? new TextEncoder().encode(data) : data;
}

function isAbsent(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === 'ENOENT' || errno === 'ENOTDIR';
}

async function ignoreAbsent(removal: Promise<void>): Promise<void> {
  await removal.catch((error: unknown) => {
    if (errnoOf(error) !== 'ENOENT') throw error;
  });
}

function kindOf(entry: Dirent | Stats): EntryKind {
  if (entry.isFile()) return 'file';
  if (entry.isDirectory()) return 'folder';
  if (entry.isSymbolicLink()) return 'link';
  return entry.isBlockDevice() ? 'block' : 'other';
}

/** As mkdir's own `recursive`, which (node 24) never ends where the system lets no folder be made: in /proc, for one. */
async function makeWithParents(path: string, mode: number): Promise<void> {
  const make = async (): Promise<void> => {
    await mkdir(path, { mode }).catch(async (error: unknown) => {
      if (!(await isFolder(path))) throw error;
    });
  };
  try {
    await make();
  } catch (error) {
    const parent = dirname(path);
    if (!isAbsent(error) || parent === path) throw error;
    await makeWithParents(parent, mode);
    await make();
  }
}

async function isFolder(path: string): Promise<boolean> {
  const stats = await stat(path).catch(() => null);
  return stats?.isDirectory() ?? false;
}
