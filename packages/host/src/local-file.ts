import { constants } from 'node:fs';
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { allEnded } from './all-ended.ts';
import { DirectWriter } from './direct-writer.ts';
import { fileError, HostError, naming, printable } from './errors.ts';
import { requireAnywhere, requireOffset, requireWritable, shortRead } from './file-errors.ts';
import type { HostFile, OpenMode, OpenOptions } from './host.ts';
import { writeFully } from './write-fully.ts';

const { O_APPEND, O_CREAT, O_EXCL, O_NOCTTY, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } = constants;

// O_NONBLOCK: opening a FIFO must not wait for its other end. It means nothing to regular files and block devices.
const flagsOf: Readonly<Record<OpenMode, number>> = {
  read: O_RDONLY | O_NONBLOCK | O_NOCTTY,
  create: O_RDWR | O_CREAT | O_EXCL | O_NOCTTY,
  'append-new': O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY,
  'read-write': O_RDWR | O_NONBLOCK | O_NOCTTY,
  // O_EXCL without O_CREAT is Linux's way to claim a block device.
  claim: O_RDWR | O_EXCL | O_NONBLOCK | O_NOCTTY,
};

/** Modes in which every write says where it goes. */
const placed: ReadonlySet<OpenMode> = new Set(['create', 'read-write', 'claim']);

/** Opens a file of this machine; see HostFiles.open. */
export async function openLocalFile(path: string, mode: OpenMode, options: OpenOptions = {}): Promise<LocalFile> {
  const doing = mode === 'create' ? 'cannot create' : mode === 'read' ? 'cannot open' : 'cannot open for writing';
  return await naming(doing, path, async () => {
    const handle = await open(path, flagsOf[mode], 0o600);
    try {
      const stats = await handle.stat();
      const usable = stats.isFile() || stats.isBlockDevice() || (mode !== 'read' && stats.isCharacterDevice());
      if (!usable) {
        throw new HostError('WRONG_KIND', `${doing} ${printable(path)}: a file or a block device is needed`, { path });
      }
      const direct = options.direct === true && placed.has(mode) ? await DirectWriter.open(handle) : undefined;
      return new LocalFile(handle, path, mode, stats.isBlockDevice() ? 0 : stats.size, direct);
    } catch (error) {
      await handle.close();
      throw error;
    }
  });
}

export class LocalFile implements HostFile {
  readonly path: string;
  readonly #handle: FileHandle;
  readonly #mode: OpenMode;
  readonly #direct: DirectWriter | undefined;
  /** Where the next append goes, in bytes. */
  #end: number;
  /** The last append that was asked for: appends stand in a row. */
  #lastAppend: Promise<void> = Promise.resolve();
  /** It is done, and has not failed. */
  #idle = true;
  #closing: Promise<void> | undefined;

  constructor(handle: FileHandle, path: string, mode: OpenMode, end: number, direct?: DirectWriter) {
    this.#handle = handle;
    this.path = path;
    this.#mode = mode;
    this.#direct = direct;
    this.#end = end;
  }

  async size(): Promise<number> {
    return await naming('cannot read the size of', this.path, async () => {
      const stats = await this.#handle.stat({ bigint: true });
      return stats.isBlockDevice() ? await blockDeviceSize(stats.rdev) : Number(stats.size);
    });
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    requireOffset(offset, this.path);
    await naming('cannot read', this.path, async () => {
      for (let done = 0; done < buffer.length; ) {
        const { bytesRead } = await this.#handle.read(buffer, done, buffer.length - done, offset + done);
        if (bytesRead === 0) throw shortRead(this.path, offset, buffer.length, done);
        done += bytesRead;
      }
    });
  }

  write(chunks: readonly Uint8Array[]): Promise<void> {
    const position = this.#end;
    this.#end += chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    const append = this.#begin(chunks, position);
    this.#idle = false;
    this.#lastAppend = append;
    append.then(
      () => {
        this.#idle = this.#lastAppend === append;
      },
      // Who asked for this append hears of its failure; so does every later one.
      () => undefined,
    );
    return append;
  }

  async writeAt(offset: number, data: Uint8Array): Promise<void> {
    requireOffset(offset, this.path);
    requireWritable(this.#mode, this.path);
    requireAnywhere(this.#mode, this.path);
    await naming('cannot write', this.path, async () => {
      await this.#writeDirect(data, offset);
      this.#end = Math.max(this.#end, offset + data.length);
    });
  }

  async sync(): Promise<void> {
    await naming('cannot sync', this.path, () => this.#handle.sync());
  }

  async truncate(size: number): Promise<void> {
    requireOffset(size, this.path);
    await naming('cannot change the size of', this.path, async () => {
      await this.#handle.truncate(size);
      this.#end = size;
    });
  }

  async allocate(bytes: number): Promise<void> {
    requireOffset(bytes, this.path);
    await this.#direct?.allocate(bytes);
  }

  async chmod(mode: number): Promise<void> {
    await naming('cannot change the mode of', this.path, () => this.#handle.chmod(mode));
  }

  close(): Promise<void> {
    this.#closing ??= naming('cannot close', this.path, async () => {
      await this.#lastAppend.catch(() => undefined);
      await this.#direct?.close();
      await this.#handle.close();
    });
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #begin(chunks: readonly Uint8Array[], position: number): Promise<void> {
    // Where none is under way the system is asked at once: it writes while the caller goes on with other work.
    if (this.#idle) return this.#append(chunks, position);
    // Of direct ones the disk has the next before this is done: it need not wait for this process.
    if (this.#goesDirect(chunks, position))
      return allEnded([this.#lastAppend, this.#append(chunks, position)]).then(() => undefined);
    return this.#lastAppend.then(() => this.#append(chunks, position));
  }

  #goesDirect(chunks: readonly Uint8Array[], position: number): boolean {
    const [chunk] = chunks;
    return chunks.length === 1 && chunk !== undefined && this.#direct?.takes(chunk, position) === true;
  }

  async #append(chunks: readonly Uint8Array[], position: number): Promise<void> {
    requireWritable(this.#mode, this.path);
    await naming('cannot write', this.path, async () => {
      const [chunk] = chunks;
      if (chunk !== undefined && this.#goesDirect(chunks, position)) return await this.#writeDirect(chunk, position);
      const at = this.#mode === 'append-new' ? null : position;
      await writeFully((some, where) => this.#writeSome(some, where), chunks, at);
    });
  }

  /** Past the page cache as far as that goes, the rest through it. */
  async #writeDirect(data: Uint8Array, offset: number): Promise<void> {
    const done = this.#direct?.takes(data, offset) ? await this.#direct.write(data, offset) : 0;
    await writeFully((some, at) => this.#writeSome(some, at), [data.subarray(done)], offset + done);
  }

  async #writeSome(chunks: Uint8Array[], position: number | null): Promise<number> {
    const { bytesWritten } = await this.#handle.writev(chunks, position ?? undefined);
    return bytesWritten;
  }
}

// The size of a block device in units of 512 bytes stands in sysfs; stat says 0, and node has no lseek.
async function blockDeviceSize(device: bigint): Promise<number> {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn);
  const path = `/sys/dev/block/${major}:${minor}/size`;
  try {
    return Number((await readFile(path, 'utf8')).trim()) * 512;
  } catch (error) {
    throw fileError(error, 'cannot read the size of the device from', path);
  }
}
