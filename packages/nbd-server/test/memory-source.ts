import type { BlockSource, SourceExtent } from '../src/index.ts';

const BLOCK = 4096;

/** A disk in memory. Blocks of zeroes count as holes. `before` hears of each call, and may fail or delay it. */
export class MemorySource implements BlockSource {
  readonly bytes: Buffer;
  calls = 0;
  before: (command: string, call: number) => void | Promise<void> = () => {};

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get size(): number {
    return this.bytes.byteLength;
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    await this.before('read', this.calls++);
    buffer.set(this.bytes.subarray(offset, offset + buffer.byteLength));
  }

  async *extents(offset: number, length: number): AsyncGenerator<SourceExtent> {
    await this.before('extents', this.calls++);
    for (let start = offset - (offset % BLOCK); start < offset + length; start += BLOCK) {
      const block = this.bytes.subarray(start, start + BLOCK);
      yield { start, length: block.byteLength, kind: block.every((byte) => byte === 0) ? 'zero' : 'data' };
    }
  }
}

/** One that can be written. */
export class WritableSource extends MemorySource {
  flushes = 0;

  async write(offset: number, data: Uint8Array): Promise<void> {
    await this.before('write', this.calls++);
    this.bytes.set(data, offset);
  }

  async writeZeroes(offset: number, length: number): Promise<void> {
    await this.before('writeZeroes', this.calls++);
    this.bytes.fill(0, offset, offset + length);
  }

  async trim(_offset: number, _length: number): Promise<void> {
    await this.before('trim', this.calls++);
  }

  async flush(): Promise<void> {
    await this.before('flush', this.calls++);
    this.flushes++;
  }
}

/** The content of nbdkit's pattern plugin: each 8 bytes hold their own offset, big-endian. */
export function pattern(length: number): Buffer {
  const words = Buffer.alloc(Math.ceil(length / 8) * 8);
  for (let at = 0; at < words.byteLength; at += 8) words.writeBigUInt64BE(BigInt(at), at);
  return words.subarray(0, length);
}
