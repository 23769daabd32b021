import { HostError, type HostFile } from '@virtnbd/host';
import type { ZipMember } from './zip-index.ts';

/** A file in a zip, open for reading. The zip stays open when it is closed. */
export class ZipMemberFile implements HostFile {
  readonly path: string;
  readonly #member: ZipMember;

  constructor(path: string, member: ZipMember) {
    this.path = path;
    this.#member = member;
  }

  async size(): Promise<number> {
    return this.#member.size;
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    const { zip, start, size } = this.#member;
    if (!Number.isSafeInteger(offset) || offset < 0)
      throw new HostError('BAD_ARGUMENT', `${offset} is no offset in ${this.path}`, { path: this.path });
    if (offset + buffer.length > size) {
      const text = `${this.path} ends at ${size}: ${buffer.length} bytes wanted from ${offset}; the file is cut short`;
      throw new HostError('SHORT_READ', text, { path: this.path });
    }
    await zip.read(start + offset, buffer);
  }

  async write(): Promise<void> {
    throw readOnly(this.path);
  }

  async writeAt(): Promise<void> {
    throw readOnly(this.path);
  }

  async truncate(): Promise<void> {
    throw readOnly(this.path);
  }

  async sync(): Promise<void> {}

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** What every attempt to change something in a zip ends with. */
export function readOnly(path: string): HostError {
  return new HostError('READ_ONLY', `${path} is in a zip, which is only read; unpack it into a folder first`, { path });
}
