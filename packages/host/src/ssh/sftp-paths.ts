import { HostError, printable } from '../errors.ts';
import { type SftpClient, SftpError } from './sftp-client.ts';
import { type SftpAttributes, SftpStatus, SftpType, SftpWriter } from './sftp-codec.ts';
import { type Finding, sftpFailure } from './sftp-errors.ts';

/** SSH2_FXE_STATVFS_ST_RDONLY */
const ST_RDONLY = 1;

/** Requests about paths, and what the protocol's few status codes leave to be looked up. */
export class SftpPaths {
  readonly sftp: SftpClient;

  constructor(sftp: SftpClient) {
    this.sftp = sftp;
  }

  /** Of what a link leads to; null when there is nothing. */
  attributes(path: string): Promise<SftpAttributes | null> {
    return this.#lookAt(SftpType.STAT, path);
  }

  /** Of the link itself. */
  linkAttributes(path: string): Promise<SftpAttributes | null> {
    return this.#lookAt(SftpType.LSTAT, path);
  }

  async exists(path: string): Promise<boolean> {
    return (await this.linkAttributes(path)) !== null;
  }

  /** Bytes that the user may still write on the file system of the path. */
  async freeSpace(path: string): Promise<number> {
    return (await this.#fileSystem(path)).free;
  }

  /** Why nothing can be written there, where the file system is to blame: it has less than `needed` bytes, or takes none. */
  async whyNotWritten(path: string, needed = 1): Promise<Finding | null> {
    const { free, readOnly } = await this.#fileSystem(path);
    if (readOnly) return 'READ_ONLY';
    return free < needed ? 'NO_SPACE' : null;
  }

  /** statvfs@openssh.com: OpenSSH, PROTOCOL, section 4.4. */
  async #fileSystem(path: string): Promise<{ free: number; readOnly: boolean }> {
    return await this.doing('cannot read the free space of', path, async () => {
      const request = new SftpWriter().bytes('statvfs@openssh.com').bytes(path);
      const { body } = await this.sftp.request(SftpType.EXTENDED, request);
      body.u64(); // f_bsize
      const unit = body.u64(); // f_frsize
      body.u64(); // f_blocks
      body.u64(); // f_bfree
      const free = unit * body.u64(); // f_bavail
      body.skip(4 * 8); // f_files, f_ffree, f_favail, f_fsid
      return { free, readOnly: (body.u64() & ST_RDONLY) !== 0 };
    });
  }

  /** A request whose failure is told as the host's: what was tried, with which path, and why. */
  async doing<T>(
    doing: string,
    path: string,
    work: () => Promise<T>,
    find?: () => Promise<Finding | null>,
  ): Promise<T> {
    if (path.includes('\0'))
      throw new HostError('BAD_NAME', `${doing} ${printable(path)}: the name holds a NUL byte`, { path });
    try {
      return await work();
    } catch (error) {
      throw await sftpFailure(error, doing, path, find);
    }
  }

  async #lookAt(type: number, path: string): Promise<SftpAttributes | null> {
    return await this.doing('cannot look at', path, async () => {
      try {
        return (await this.sftp.request(type, new SftpWriter().bytes(path))).body.attributes();
      } catch (error) {
        if (error instanceof SftpError && error.status === SftpStatus.NO_SUCH_FILE) return null;
        throw error;
      }
    });
  }
}

/** For removals: what is not there any more is removed. */
export async function unlessAbsent(removal: Promise<unknown>): Promise<void> {
  await removal.catch((error: unknown) => {
    if (!(error instanceof SftpError) || error.status !== SftpStatus.NO_SUCH_FILE) throw error;
  });
}
