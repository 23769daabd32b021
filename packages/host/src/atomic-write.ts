import { randomBytes } from 'node:crypto';
import { link, lstat, open, realpath, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errnoOf, fileError, HostError, naming, printable } from './errors.ts';
import { type LocalFile, openLocalFile } from './local-file.ts';

const TEMPORARY = /^\.virtnbd-[0-9a-f]{16}\.tmp$/;

/** Whether a name is that of a temporary file of ours: one that lies about was left by a run that was killed. */
export function isTemporaryName(name: string): boolean {
  return TEMPORARY.test(name);
}

/** Writes `fill`'s file beside `path`, syncs it and gives it the name; every failure removes the temporary file. */
export async function publish(
  path: string,
  options: { mode: number; replace: boolean },
  fill: (file: LocalFile) => Promise<void>,
): Promise<void> {
  const folder = dirname(path);
  // Not derived from the target's name: no part of it may look like a backup file to whoever lists the folder.
  const temporary = join(folder, `.virtnbd-${randomBytes(8).toString('hex')}.tmp`);
  // The message is about the file that was asked for; nobody knows the temporary name.
  const file = await openLocalFile(temporary, 'create').catch((error: unknown) => {
    throw aboutTarget(error, path);
  });
  try {
    await file.chmod(options.mode);
    await fill(file);
    await file.sync();
    await file.close();
    await (options.replace ? rename(temporary, path) : moveWithoutReplacing(temporary, path));
  } catch (error) {
    await file.close().catch(() => undefined);
    await unlink(temporary).catch(() => undefined);
    throw aboutTarget(error, path);
  }
  await syncFolder(folder);
}

function aboutTarget(error: unknown, path: string): unknown {
  if (!(error instanceof HostError)) return isSystemError(error) ? fileError(error, 'cannot write', path) : error;
  const cause = error.cause;
  return isTemporaryName(basename(error.path ?? '')) && isSystemError(cause)
    ? fileError(cause, 'cannot write', path)
    : error;
}

function isSystemError(error: unknown): boolean {
  return errnoOf(error) !== undefined && !(error instanceof HostError);
}

/** Folders are synced so that a new name in them outlives a crash. File systems that cannot do it say EINVAL. */
export async function syncFolder(path: string): Promise<void> {
  await naming('cannot sync the folder', path, async () => {
    const handle = await open(path, 'r');
    try {
      await handle.sync();
    } catch (error) {
      if (errnoOf(error) !== 'EINVAL') throw error;
    } finally {
      await handle.close();
    }
  });
}

/**
 * Renames without ever replacing `to`. node has no renameat2(RENAME_NOREPLACE); for files, link + unlink does the same:
 * link fails when the name is taken. A crash between the two leaves both names for the same file; the same call made
 * again then finishes. Without hard links (FAT, some FUSE) the name is first taken by an empty file (O_EXCL), which the
 * rename then replaces. A folder is renamed as it is: the system itself refuses a target that is not an empty folder.
 *
 * @throws HostError EXISTS, or an error of node:fs
 */
export async function moveWithoutReplacing(from: string, to: string): Promise<void> {
  if ((await lstat(from)).isDirectory()) return await moveFolder(from, to);
  try {
    await link(from, to);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'EEXIST' && !(await isOneFileUnderTwoNames(from, to))) throw taken(to, error);
    if (errno !== 'EEXIST') {
      if (!withoutLinks.has(errno)) throw error;
      return await moveThroughPlaceholder(from, to);
    }
  }
  await unlink(from);
}

// EPERM: no hard links here, or (fs.protected_hardlinks) not for a file of another owner. EMLINK: too many of them.
const withoutLinks: ReadonlySet<string | undefined> = new Set(['EPERM', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'EMLINK']);

async function moveThroughPlaceholder(from: string, to: string): Promise<void> {
  const placeholder = await open(to, 'wx', 0o600).catch((error: unknown) => {
    throw errnoOf(error) === 'EEXIST' ? taken(to, error) : error;
  });
  await placeholder.close();
  try {
    await rename(from, to);
  } catch (error) {
    await unlink(to).catch(() => undefined);
    throw error;
  }
}

async function moveFolder(from: string, to: string): Promise<void> {
  const existing = await lstat(to).catch(() => null);
  if (existing !== null) throw taken(to, undefined);
  await rename(from, to);
}

/** True when a rename by link + unlink was cut off between the two; false for one name written in two ways. */
async function isOneFileUnderTwoNames(from: string, to: string): Promise<boolean> {
  const [a, b] = await Promise.all([lstat(from, { bigint: true }), lstat(to, { bigint: true }).catch(() => null)]);
  // Taken a moment ago, and free again: for the caller it was taken.
  if (b === null) return false;
  if (a.ino !== b.ino || a.dev !== b.dev || a.nlink < 2n) return false;
  if (basename(from) !== basename(to)) return true;
  return (await realpath(dirname(from))) !== (await realpath(dirname(to)));
}

function taken(path: string, cause: unknown): HostError {
  const text = `${printable(path)} exists already and is not replaced; remove it, or choose another name`;
  return new HostError('EXISTS', text, { path, errno: 'EEXIST', cause });
}

/** Copies a regular file in pieces of 1 MiB; the target appears complete or not at all. */
export async function copyFile(from: string, to: string, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  const kind = await naming('cannot copy', from, () => stat(from));
  if (!kind.isFile())
    throw new HostError('WRONG_KIND', `cannot copy ${printable(from)}: it is no file`, { path: from });
  await using source = await openLocalFile(from, 'read');
  const size = await source.size();
  await publish(to, { mode: 0o600, replace: false }, async (target) => {
    const buffer = new Uint8Array(Math.min(size, 1024 * 1024));
    for (let offset = 0; offset < size; offset += buffer.length) {
      signal?.throwIfAborted();
      const piece = buffer.subarray(0, Math.min(buffer.length, size - offset));
      await source.read(offset, piece);
      await target.write([piece]);
    }
  });
}
