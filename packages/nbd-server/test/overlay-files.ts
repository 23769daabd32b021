import { type FileHandle, open } from 'node:fs/promises';
import type { OverlayFile } from '../src/index.ts';

/** A real file, as HostFile is one. */
export class FileOverlay implements OverlayFile {
  readonly #handle: FileHandle;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  static async open(path: string, flags: 'wx+' | 'r+'): Promise<FileOverlay> {
    return new FileOverlay(await open(path, flags, 0o600));
  }

  async size(): Promise<number> {
    return (await this.#handle.stat()).size;
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    for (let at = 0; at < buffer.byteLength; ) {
      const { bytesRead } = await this.#handle.read(buffer, at, buffer.byteLength - at, offset + at);
      if (bytesRead === 0) throw new Error(`the file ends before ${offset + buffer.byteLength}`);
      at += bytesRead;
    }
  }

  async writeAt(offset: number, data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.byteLength; ) {
      at += (await this.#handle.write(data, at, data.byteLength - at, offset + at)).bytesWritten;
    }
  }

  sync(): Promise<void> {
    return this.#handle.sync();
  }

  truncate(size: number): Promise<void> {
    return this.#handle.truncate(size);
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** A file in memory that can lose what was not synced, and fail at any call. */
export class MemoryOverlay implements OverlayFile {
  bytes = Buffer.alloc(0);
  durable = Buffer.alloc(0);
  calls = 0;
  before: (call: number) => void = () => {};
  readonly #pending: { offset: number; data: Uint8Array }[] = [];

  async size(): Promise<number> {
    return this.bytes.byteLength;
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    this.before(this.calls++);
    await Promise.resolve();
    if (offset + buffer.byteLength > this.bytes.byteLength) throw new Error('past the end of the file');
    buffer.set(this.bytes.subarray(offset, offset + buffer.byteLength));
  }

  async writeAt(offset: number, data: Uint8Array): Promise<void> {
    this.before(this.calls++);
    const copy = Uint8Array.from(data);
    this.#pending.push({ offset, data: copy });
    await Promise.resolve();
    if (offset + copy.byteLength > this.bytes.byteLength) await this.truncate(offset + copy.byteLength);
    this.bytes.set(copy, offset);
  }

  async sync(): Promise<void> {
    this.before(this.calls++);
    const state = Buffer.from(this.bytes);
    this.#pending.length = 0;
    await Promise.resolve();
    this.durable = state;
  }

  async truncate(size: number): Promise<void> {
    const bytes = Buffer.alloc(size);
    this.bytes.copy(bytes);
    this.bytes = bytes;
  }

  async close(): Promise<void> {}

  /** The file after a crash: what was synced, and of the writes since then those that `keep` says, in sectors. */
  crashed(keep: () => boolean): MemoryOverlay {
    const file = new MemoryOverlay();
    file.bytes = Buffer.alloc(this.bytes.byteLength);
    this.durable.copy(file.bytes);
    for (const { offset, data } of this.#pending) {
      for (let at = 0; at < data.byteLength; at += 512) {
        if (keep()) file.bytes.set(data.subarray(at, at + 512), offset + at);
      }
    }
    file.durable = Buffer.from(file.bytes);
    return file;
  }
}
