import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { HostError, printable } from '../errors.ts';
import type { DirectoryEntry, FileStat, HostFiles, OpenMode } from '../host.ts';
import { type SftpClient, SftpError } from './sftp-client.ts';
import { SftpFlag, SftpStatus, SftpType, SftpWriter } from './sftp-codec.ts';
import type { Finding } from './sftp-errors.ts';
import { SftpFile, type SftpSurroundings, syncHandle } from './sftp-file.ts';
import { aboutTarget, kindOf, notFound, wrongKind } from './sftp-kinds.ts';
import { OPENINGS } from './sftp-openings.ts';
import { SftpPaths, unlessAbsent } from './sftp-paths.ts';

const COPY_PIECE = 1 << 20;

/** The files of a host behind ssh, by SFTP version 3 with OpenSSH's extensions. */
export class SftpFiles implements HostFiles {
  readonly #sftp: SftpClient;
  readonly #paths: SftpPaths;
  readonly #around: SftpSurroundings;

  /** @param deviceSize what the protocol does not tell */
  constructor(sftp: SftpClient, deviceSize: (path: string) => Promise<number>) {
    this.#sftp = sftp;
    this.#paths = new SftpPaths(sftp);
    this.#around = { deviceSize, whyNotWritten: (path, bytes) => this.#paths.whyNotWritten(path, bytes) };
  }

  async open(path: string, mode: OpenMode): Promise<SftpFile> {
    return await this.#open(path, mode, OPENINGS[mode].doing);
  }

  async #open(path: string, mode: OpenMode, doing: string): Promise<SftpFile> {
    // Looked at before it is opened: a FIFO would wait for its other end.
    const before = mode === 'create' ? null : await this.#paths.attributes(path);
    const kind = before === null ? 'file' : kindOf(before.mode);
    const isCharacter = before !== null && (before.mode & 0o170000) === 0o020000;
    if (kind !== 'file' && kind !== 'block' && (mode === 'read' || !isCharacter)) throw wrongKind(doing, path);
    return await this.#paths.doing(
      doing,
      path,
      async () => {
        const request = new SftpWriter().bytes(path).u32(OPENINGS[mode].flags);
        const isNew = mode === 'create' || (mode === 'append-new' && before === null);
        const { body } = await this.#sftp.request(SftpType.OPEN, isNew ? request.permissions(0o600) : request.none());
        const opened = { path, handle: body.bytes(), mode, isDevice: kind === 'block', size: before?.size ?? 0 };
        return new SftpFile(this.#sftp, opened, this.#around);
      },
      async () => {
        if (mode === 'claim') return 'BUSY';
        return mode === 'create' && (await this.#paths.exists(path))
          ? 'EXISTS'
          : await this.#paths.whyNotWritten(dirname(path));
      },
    );
  }

  async readSmall(path: string, maxBytes: number): Promise<Uint8Array> {
    const before = await this.#paths.attributes(path);
    if (before === null) throw notFound('cannot read', path);
    if (kindOf(before.mode) !== 'file') throw wrongKind('cannot read', path);
    await using file = await this.open(path, 'read');
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
    await this.#publish(path, { mode, replace }, (file) => file.write([Buffer.from(data)]));
  }

  async createExclusive(path: string, data: Uint8Array | string): Promise<boolean> {
    try {
      await this.writeAtomic(path, data, { replace: false });
      return true;
    } catch (error) {
      if (error instanceof HostError && error.code === 'EXISTS') return false;
      throw error;
    }
  }

  async list(path: string): Promise<DirectoryEntry[]> {
    return await this.#paths.doing('cannot list', path, async () => {
      const handle = await this.#openFolder(path);
      const entries: DirectoryEntry[] = [];
      try {
        for (;;) {
          const { body } = await this.#sftp.request(SftpType.READDIR, new SftpWriter().bytes(handle));
          for (let left = body.u32(); left > 0; left--) {
            const name = body.text();
            body.bytes(); // as `ls -l` shows it
            const { mode } = body.attributes();
            if (name !== '.' && name !== '..') entries.push({ name, kind: kindOf(mode) });
          }
        }
      } catch (error) {
        if (!(error instanceof SftpError) || error.status !== SftpStatus.EOF) throw error;
      } finally {
        await this.#sftp.request(SftpType.CLOSE, new SftpWriter().bytes(handle)).catch(() => undefined);
      }
      return entries.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
    });
  }

  async stat(path: string): Promise<FileStat | null> {
    const found = await this.#paths.attributes(path);
    if (found === null) return null;
    const { size, mode, modified, uid, gid } = found;
    return { kind: kindOf(mode), size, mode: mode & 0o7777, modified: modified * 1000, uid, gid };
  }

  async makeFolder(path: string, options: { mode?: number; recursive?: boolean } = {}): Promise<void> {
    const { mode = 0o700, recursive = false } = options;
    if (recursive) {
      const found = await this.#paths.attributes(path);
      if (found !== null && kindOf(found.mode) === 'folder') return;
      if (found === null && dirname(path) !== path) await this.makeFolder(dirname(path), options);
    }
    await this.#paths.doing(
      'cannot make the folder',
      path,
      () => this.#sftp.request(SftpType.MKDIR, new SftpWriter().bytes(path).permissions(mode)),
      async () => ((await this.#paths.exists(path)) ? 'EXISTS' : await this.#paths.whyNotWritten(dirname(path))),
    );
  }

  async makeTempFolder(parent: string, prefix: string): Promise<string> {
    if (prefix.includes('/'))
      throw new HostError('BAD_NAME', `a folder's prefix cannot hold a slash: ${printable(prefix)}`, { path: prefix });
    const path = join(parent, `${prefix}${randomBytes(3).toString('hex')}`);
    await this.makeFolder(path);
    return path;
  }

  async rename(from: string, to: string, options: { replace?: boolean } = {}): Promise<void> {
    const names = new SftpWriter();
    const doing = `cannot rename ${printable(from)} to`;
    if (options.replace === true) {
      names.bytes('posix-rename@openssh.com').bytes(from).bytes(to);
      const isFolder = async (): Promise<Finding | null> => {
        const found = await this.#paths.linkAttributes(to);
        return found !== null && kindOf(found.mode) === 'folder' ? 'WRONG_KIND' : null;
      };
      await this.#paths.doing(doing, to, () => this.#sftp.request(SftpType.EXTENDED, names), isFolder);
      return;
    }
    // OpenSSH links the file to its new name and removes the old one: it never replaces.
    names.bytes(from).bytes(to);
    const find = async (): Promise<Finding | null> => ((await this.#paths.exists(to)) ? 'EXISTS' : null);
    await this.#paths.doing(doing, to, () => this.#sftp.request(SftpType.RENAME, names), find);
  }

  async remove(path: string): Promise<void> {
    await this.#paths.doing(
      'cannot remove',
      path,
      () => unlessAbsent(this.#sftp.request(SftpType.REMOVE, new SftpWriter().bytes(path))),
      async () => 'WRONG_KIND',
    );
  }

  async removeFolder(path: string, options: { recursive?: boolean } = {}): Promise<void> {
    const found = await this.#paths.linkAttributes(path);
    if (found === null) return;
    if (options.recursive === true) {
      if (kindOf(found.mode) !== 'folder') return await this.remove(path);
      for (const { name, kind } of await this.list(path)) {
        if (kind === 'folder') await this.removeFolder(join(path, name), options);
        else await this.remove(join(path, name));
      }
    }
    await this.#paths.doing(
      'cannot remove the folder',
      path,
      () => unlessAbsent(this.#sftp.request(SftpType.RMDIR, new SftpWriter().bytes(path))),
      async () => (kindOf(found.mode) === 'folder' ? 'NOT_EMPTY' : 'WRONG_KIND'),
    );
  }

  async syncFolder(path: string): Promise<void> {
    await this.#paths.doing('cannot sync the folder', path, async () => {
      const { body } = await this.#sftp.request(SftpType.OPEN, new SftpWriter().bytes(path).u32(SftpFlag.READ).none());
      const handle = body.bytes();
      try {
        await syncHandle(this.#sftp, handle, path);
      } finally {
        await this.#sftp.request(SftpType.CLOSE, new SftpWriter().bytes(handle));
      }
    });
  }

  async chmod(path: string, mode: number): Promise<void> {
    const request = new SftpWriter().bytes(path).permissions(mode);
    await this.#paths.doing('cannot change the mode of', path, () => this.#sftp.request(SftpType.SETSTAT, request));
  }

  async freeSpace(path: string): Promise<number> {
    return await this.#paths.freeSpace(path);
  }

  async copy(from: string, to: string, options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    options.signal?.throwIfAborted();
    await using source = await this.open(from, 'read');
    const size = await source.size();
    await this.#publish(to, { mode: 0o600, replace: false }, async (target) => {
      const buffer = new Uint8Array(Math.min(size, COPY_PIECE));
      for (let offset = 0; offset < size; offset += buffer.length) {
        options.signal?.throwIfAborted();
        const piece = buffer.subarray(0, Math.min(buffer.length, size - offset));
        await source.read(offset, piece);
        await target.write([piece]);
      }
    });
  }

  /** Writes a file beside `path`, syncs it, and gives it the name; every failure removes it. */
  async #publish(
    path: string,
    { mode, replace }: { mode: number; replace: boolean },
    fill: (file: SftpFile) => Promise<void>,
  ): Promise<void> {
    const temporary = join(dirname(path), `.virtnbd-${randomBytes(8).toString('hex')}.tmp`);
    try {
      await using file = await this.#open(temporary, 'create', 'cannot write');
      await file.chmod(mode);
      await fill(file);
      await file.sync();
      await file.close();
      await this.rename(temporary, path, { replace });
    } catch (error) {
      await this.remove(temporary).catch(() => undefined);
      throw aboutTarget(error, temporary, path);
    }
    await this.syncFolder(dirname(path));
  }

  async #openFolder(path: string): Promise<Buffer> {
    try {
      return (await this.#sftp.request(SftpType.OPENDIR, new SftpWriter().bytes(path))).body.bytes();
    } catch (error) {
      const found = await this.#paths.attributes(path);
      throw found !== null && kindOf(found.mode) !== 'folder' ? wrongKind('cannot list', path) : error;
    }
  }
}
