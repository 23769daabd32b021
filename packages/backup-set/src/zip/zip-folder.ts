import { join } from 'node:path';
import {
  type DirectoryEntry,
  type FileStat,
  type Host,
  HostError,
  type HostFile,
  type HostFiles,
  type OpenMode,
} from '@virtnbd/host';
import type { ZipMember } from './zip-index.ts';
import { readOnly, ZipMemberFile } from './zip-member-file.ts';

/**
 * The files of a host with one folder more, or with a folder in which more lies: what is in the zips stands there as if
 * it had been unpacked. All else is the host's own. What is in the zips cannot be changed.
 */
export class ZipFolderFiles implements HostFiles {
  readonly #files: HostFiles;
  readonly #folder: string;
  /** By path in the folder. */
  readonly #members: ReadonlyMap<string, ZipMember>;
  /** Paths in the folder that are folders themselves; the empty one is the folder. */
  readonly #folders = new Set<string>();
  readonly #hidden: ReadonlySet<string>;

  /**
   * @param members by path in the folder, `checkpoints/virtnbdbackup.0.xml`
   * @param hidden names of files in the folder that are not shown: the zips
   * @param isReal whether the folder is there, too, and its files show
   */
  constructor(
    host: Host,
    folder: string,
    members: ReadonlyMap<string, ZipMember>,
    { hidden = [], isReal }: { hidden?: readonly string[]; isReal: boolean },
  ) {
    this.#files = host.files;
    this.#folder = folder;
    this.#members = members;
    this.#hidden = new Set(hidden);
    if (!isReal) this.#folders.add('');
    for (const name of members.keys())
      for (let end = name.indexOf('/'); end > 0; end = name.indexOf('/', end + 1))
        this.#folders.add(name.slice(0, end));
  }

  async open(path: string, mode: OpenMode): Promise<HostFile> {
    const member = this.#member(path);
    if (member === undefined) return await this.#files.open(this.#outside(path, mode), mode);
    if (mode !== 'read') throw readOnly(path);
    return new ZipMemberFile(path, member);
  }

  async readSmall(path: string, maxBytes: number): Promise<Uint8Array> {
    const member = this.#member(path);
    if (member === undefined) return await this.#files.readSmall(this.#outside(path, 'read'), maxBytes);
    if (member.size > maxBytes) {
      const text = `${path} has ${member.size} bytes; at most ${maxBytes} are expected of such a file`;
      throw new HostError('TOO_LARGE', text, { path });
    }
    const content = new Uint8Array(member.size);
    await new ZipMemberFile(path, member).read(0, content);
    return content;
  }

  async list(path: string): Promise<DirectoryEntry[]> {
    const inside = this.#inside(path);
    if (inside === undefined || (inside !== '' && !this.#folders.has(inside))) return await this.#files.list(path);
    const entries = new Map<string, DirectoryEntry>();
    const real = this.#folders.has('') ? [] : await this.#files.list(path).catch(absentIsEmpty);
    for (const entry of real) if (inside !== '' || !this.#hidden.has(entry.name)) entries.set(entry.name, entry);
    const prefix = inside === '' ? '' : `${inside}/`;
    const add = (full: string, kind: DirectoryEntry['kind']): void => {
      const name = full.slice(prefix.length);
      if (full.startsWith(prefix) && name !== '' && !name.includes('/')) entries.set(name, { name, kind });
    };
    for (const name of this.#members.keys()) add(name, 'file');
    for (const name of this.#folders) add(name, 'folder');
    return [...entries.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async stat(path: string): Promise<FileStat | null> {
    const inside = this.#inside(path);
    const member = this.#member(path);
    const common = { modified: member?.modified ?? 0, uid: 0, gid: 0 };
    if (member !== undefined) return { kind: 'file', size: member.size, mode: 0o400, ...common };
    if (inside !== undefined && this.#folders.has(inside)) return { kind: 'folder', size: 0, mode: 0o500, ...common };
    return inside !== undefined && this.#folders.has('') ? null : await this.#files.stat(path);
  }

  async freeSpace(path: string): Promise<number> {
    return await this.#files.freeSpace(this.#outside(path));
  }

  async writeAtomic(
    path: string,
    data: Uint8Array | string,
    options?: { mode?: number; replace?: boolean },
  ): Promise<void> {
    await this.#files.writeAtomic(this.#outside(path), data, options);
  }

  async createExclusive(path: string, data: Uint8Array | string): Promise<boolean> {
    return await this.#files.createExclusive(this.#outside(path), data);
  }

  async makeFolder(path: string, options?: { mode?: number; recursive?: boolean }): Promise<void> {
    await this.#files.makeFolder(this.#outside(path), options);
  }

  async makeTempFolder(parent: string, prefix: string): Promise<string> {
    return await this.#files.makeTempFolder(this.#outside(parent), prefix);
  }

  async rename(from: string, to: string, options?: { replace?: boolean }): Promise<void> {
    await this.#files.rename(this.#outside(from), this.#outside(to), options);
  }

  async remove(path: string): Promise<void> {
    await this.#files.remove(this.#outside(path));
  }

  async removeFolder(path: string, options?: { recursive?: boolean }): Promise<void> {
    await this.#files.removeFolder(this.#outside(path), options);
  }

  async syncFolder(path: string): Promise<void> {
    await this.#files.syncFolder(this.#outside(path));
  }

  async chmod(path: string, mode: number): Promise<void> {
    await this.#files.chmod(this.#outside(path), mode);
  }

  async copy(from: string, to: string, options?: { signal?: AbortSignal | undefined }): Promise<void> {
    await this.#files.copy(this.#outside(from, 'read'), this.#outside(to), options);
  }

  /** The path within the folder; undefined for one that lies elsewhere. */
  #inside(path: string): string | undefined {
    const plain = join(path, '.');
    if (plain === this.#folder) return '';
    return plain.startsWith(`${this.#folder}/`) ? plain.slice(this.#folder.length + 1) : undefined;
  }

  #member(path: string): ZipMember | undefined {
    const inside = this.#inside(path);
    return inside === undefined ? undefined : this.#members.get(inside);
  }

  /** A path that the host itself has. @throws HostError READ_ONLY, or NOT_FOUND for one that could only be in the zips */
  #outside(path: string, mode: OpenMode = 'read-write'): string {
    const inside = this.#inside(path);
    if (inside === undefined || (!this.#folders.has('') && !this.#members.has(inside))) return path;
    if (mode !== 'read' || this.#members.has(inside)) throw readOnly(path);
    throw new HostError('NOT_FOUND', `there is no ${inside} in ${this.#folder}`, { path, errno: 'ENOENT' });
  }
}

function absentIsEmpty(error: unknown): DirectoryEntry[] {
  if (error instanceof HostError && error.code === 'NOT_FOUND') return [];
  throw error;
}
