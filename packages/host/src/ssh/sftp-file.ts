import { allEnded } from '../all-ended.ts';
import { HostError, printable } from '../errors.ts';
import { requireAnywhere, requireOffset, requireWritable, shortRead } from '../file-errors.ts';
import type { HostFile, OpenMode } from '../host.ts';
import type { SftpClient } from './sftp-client.ts';
import { SftpError } from './sftp-client.ts';
import { SftpStatus, SftpType, SftpWriter } from './sftp-codec.ts';
import { type Finding, sftpFailure } from './sftp-errors.ts';

/** Every server takes this much in one request; of a larger piece the parts are under way together. */
const PART = 32 * 1024;

/** What an open file asks of the file system around it. */
export interface SftpSurroundings {
  /** Of a device, which has no size as a file. */
  deviceSize(path: string): Promise<number>;
  /** `bytes`: what was to be written. */
  whyNotWritten(path: string, bytes: number): Promise<Finding | null>;
}

/** An open file on the other side. */
export class SftpFile implements HostFile {
  readonly path: string;
  readonly #sftp: SftpClient;
  readonly #handle: Buffer;
  readonly #mode: OpenMode;
  readonly #isDevice: boolean;
  readonly #around: SftpSurroundings;
  #end: number;
  #lastAppend: Promise<void> = Promise.resolve();
  readonly #underWay = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  constructor(
    sftp: SftpClient,
    opened: { path: string; handle: Buffer; mode: OpenMode; isDevice: boolean; size: number },
    around: SftpSurroundings,
  ) {
    this.#sftp = sftp;
    this.path = opened.path;
    this.#handle = opened.handle;
    this.#mode = opened.mode;
    this.#isDevice = opened.isDevice;
    this.#end = opened.size;
    this.#around = around;
  }

  async size(): Promise<number> {
    if (this.#isDevice) return await this.#around.deviceSize(this.path);
    return await this.#do('cannot read the size of', async () => {
      const { body } = await this.#sftp.request(SftpType.FSTAT, new SftpWriter().bytes(this.#handle));
      return body.attributes().size;
    });
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    requireOffset(offset, this.path);
    await this.#do('cannot read', async () => {
      const parts: Promise<number>[] = [];
      for (let at = 0; at < buffer.length; at += PART)
        parts.push(this.#readPart(offset + at, buffer.subarray(at, at + PART)));
      const missing = (await allEnded(parts)).reduce((sum, left) => sum + left, 0);
      if (missing === 0) return;
      throw shortRead(this.path, offset, buffer.length, buffer.length - missing);
    });
  }

  async write(chunks: readonly Uint8Array[]): Promise<void> {
    this.#requireOpen('cannot write');
    requireWritable(this.#mode, this.path);
    const append = this.#lastAppend.then(async () => {
      for (const chunk of chunks) {
        await this.#writeAll(this.#end, chunk);
        this.#end += chunk.length;
      }
    });
    this.#lastAppend = append;
    append.catch(() => undefined);
    return await append;
  }

  async writeAt(offset: number, data: Uint8Array): Promise<void> {
    requireOffset(offset, this.path);
    requireWritable(this.#mode, this.path);
    requireAnywhere(this.#mode, this.path);
    this.#requireOpen('cannot write');
    await this.#writeAll(offset, data);
    this.#end = Math.max(this.#end, offset + data.length);
  }

  async sync(): Promise<void> {
    await this.#do('cannot sync', () => syncHandle(this.#sftp, this.#handle, this.path));
  }

  async truncate(size: number): Promise<void> {
    requireOffset(size, this.path);
    await this.#do('cannot change the size of', async () => {
      await this.#sftp.request(SftpType.FSETSTAT, new SftpWriter().bytes(this.#handle).sized(size));
      this.#end = size;
    });
  }

  async chmod(mode: number): Promise<void> {
    await this.#do('cannot change the mode of', async () => {
      await this.#sftp.request(SftpType.FSETSTAT, new SftpWriter().bytes(this.#handle).permissions(mode));
    });
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      await this.#lastAppend.catch(() => undefined);
      await Promise.allSettled(this.#underWay);
      try {
        await this.#sftp.request(SftpType.CLOSE, new SftpWriter().bytes(this.#handle));
      } catch (error) {
        throw await sftpFailure(error, 'cannot close', this.path);
      }
    })();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @returns bytes that are not there */
  async #readPart(offset: number, part: Uint8Array): Promise<number> {
    for (let done = 0; done < part.length; ) {
      const request = new SftpWriter()
        .bytes(this.#handle)
        .u64(offset + done)
        .u32(part.length - done);
      try {
        const data = (await this.#sftp.request(SftpType.READ, request)).body.bytes().subarray(0, part.length - done);
        if (data.length === 0) return part.length - done;
        part.set(data, done);
        done += data.length;
      } catch (error) {
        if (error instanceof SftpError && error.status === SftpStatus.EOF) return part.length - done;
        throw error;
      }
    }
    return 0;
  }

  async #writeAll(offset: number, data: Uint8Array): Promise<void> {
    const find = () => this.#around.whyNotWritten(this.path, Math.min(data.length, PART));
    await this.#track(
      'cannot write',
      async () => {
        const parts: Promise<unknown>[] = [];
        for (let at = 0; at < data.length; at += PART) {
          const request = new SftpWriter()
            .bytes(this.#handle)
            .u64(offset + at)
            .bytes(data.subarray(at, at + PART));
          parts.push(this.#sftp.request(SftpType.WRITE, request));
        }
        await allEnded(parts);
      },
      find,
    );
  }

  #requireOpen(doing: string): void {
    if (this.#closing === undefined) return;
    throw new HostError('CLOSED', `${doing} ${printable(this.path)}: the file is closed`, { path: this.path });
  }

  async #do<T>(doing: string, work: () => Promise<T>): Promise<T> {
    this.#requireOpen(doing);
    return await this.#track(doing, work);
  }

  /** `close` waits for it; appends that stood in a row when it was called are among them. */
  async #track<T>(doing: string, work: () => Promise<T>, find?: () => Promise<Finding | null>): Promise<T> {
    const working = work();
    this.#underWay.add(working);
    try {
      return await working;
    } catch (error) {
      throw await sftpFailure(error, doing, this.path, find);
    } finally {
      this.#underWay.delete(working);
    }
  }
}

/** fsync@openssh.com; also of an open folder. */
export async function syncHandle(sftp: SftpClient, handle: Buffer, path: string): Promise<void> {
  if (!sftp.extensions.has('fsync@openssh.com'))
    throw new HostError('IO', `the ssh server cannot sync ${printable(path)}: OpenSSH 6.5 or newer is needed there`, {
      path,
    });
  await sftp.request(SftpType.EXTENDED, new SftpWriter().bytes('fsync@openssh.com').bytes(handle));
}
