import { basename, join, resolve } from 'node:path';
import { type Host, HostError } from '@virtnbd/host';
import { BackupSetError } from './errors.ts';
import { parseFileName } from './names.ts';
import { ZipFolderFiles } from './zip/zip-folder.ts';
import type { ZipMember } from './zip/zip-index.ts';

/** Where a backup is read from. */
export interface BackupSource extends AsyncDisposable {
  /** Reads the backup: the host that was given, or one on which what is in the zips stands in `folder`. */
  readonly host: Host;
  /** The backup folder on `host`: for `BackupSet.open` and all that takes a folder. */
  readonly folder: string;
  /** The zips that it is read from, without having been unpacked. */
  readonly zips: readonly string[];
  /** Whether `folder` is one of the host's, in which a record can be put beside a restore point. */
  readonly isFolder: boolean;
  close(): Promise<void>;
}

/**
 * Opens what a user names as a backup: a folder; a zip (of `virtnbdbackup -o -`, ours or the established tool's); several
 * zips, which together make one chain, as `a.zip,b.zip`; or a folder in which zips lie, beside unpacked files or alone.
 * Zips are read in place. The caller closes the result.
 *
 * @param input as the user gave it; relative names are taken from `cwd`
 * @throws BackupSetError `DAMAGED` for a zip that is cut off, `DUPLICATE` when two hold different files of one name; HostError
 */
export async function openBackupSource(host: Host, input: string, cwd: string): Promise<BackupSource> {
  const path = resolve(cwd, input);
  const kind = (await host.files.stat(path))?.kind;
  if (kind === 'folder') return await openFolder(host, path);
  // A file whose own name has a comma is found under it before.
  const names = kind === undefined ? input.split(',').filter((name) => name !== '') : [input];
  const paths = names.map((name) => resolve(cwd, name));
  return await assemble(host, { folder: path, paths, isReal: false });
}

async function openFolder(host: Host, folder: string): Promise<BackupSource> {
  const entries = await host.files.list(folder);
  const names = entries.filter(({ name, kind }) => (kind === 'file' || kind === 'link') && /\.zip$/i.test(name));
  const paths = names.map(({ name }) => join(folder, name));
  if (paths.length === 0) return plain(host, folder);
  return await assemble(host, { folder, paths, isReal: true });
}

function plain(host: Host, folder: string): BackupSource {
  const close = async (): Promise<void> => undefined;
  return { host, folder, zips: [], isFolder: true, close, [Symbol.asyncDispose]: close };
}

interface Parts {
  folder: string;
  paths: readonly string[];
  isReal: boolean;
}

async function assemble(host: Host, { folder, paths, isReal }: Parts): Promise<BackupSource> {
  const { openZips } = await import('./zip/zip-index.ts'); // here, since few backups are zips, and loading it takes time
  const { members, close } = await openZips(host, paths);
  try {
    const byName = await withoutDoubles(host, isReal ? folder : null, members);
    const hidden = paths.map((path) => basename(path));
    const files = new ZipFolderFiles(host, folder, byName, { hidden, isReal });
    const opened = { host: withFiles(host, files), folder, zips: paths, isFolder: isReal };
    return { ...opened, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * Files by name. What lies in two places must be the same there; but each zip has the list of checkpoints of its time, and
 * every chain's zips tell of the same checkpoints. A file of the folder itself stands for its like in a zip.
 */
async function withoutDoubles(
  host: Host,
  folder: string | null,
  members: readonly ZipMember[],
): Promise<Map<string, ZipMember>> {
  const byName = new Map<string, ZipMember>();
  for (const member of members) {
    const { name, size, crc32 } = member;
    const other = byName.get(name);
    byName.set(name, member);
    if (other === undefined || mayDiffer(name) || (other.size === size && other.crc32 === crc32)) continue;
    throw twoFiles(name, other.zip.path, member.zip.path);
  }
  if (folder === null) return byName;
  for (const [name, member] of byName) {
    const path = join(folder, name);
    const stat = await host.files.stat(path).catch(absentIsNull);
    if (stat === null) continue;
    if (stat.size !== member.size && !mayDiffer(name)) throw twoFiles(name, folder, member.zip.path);
    byName.delete(name);
  }
  return byName;
}

function mayDiffer(name: string): boolean {
  const kind = parseFileName(name)?.kind;
  return kind === 'checkpoint-list' || kind === 'log';
}

function twoFiles(name: string, first: string, second: string): BackupSetError {
  const text = `${name} is in ${first} and in ${second}, and they differ: one belongs to another chain, or to a run that failed.`;
  return new BackupSetError('DUPLICATE', text, { file: name, files: [first, second] });
}

function absentIsNull(error: unknown): null {
  if (error instanceof HostError && (error.code === 'NOT_FOUND' || error.code === 'WRONG_KIND')) return null;
  throw error;
}

function withFiles(host: Host, files: ZipFolderFiles): Host {
  return {
    files,
    name: host.name,
    run: (...args) => host.run(...args),
    start: (...args) => host.start(...args),
    waitForSocket: (...args) => host.waitForSocket(...args),
    route: (path) => host.route(path),
    identity: () => host.identity(),
    isAlive: (other) => host.isAlive(other),
  };
}
