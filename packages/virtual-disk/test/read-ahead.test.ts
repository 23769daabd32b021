import {
  bytesSource,
  ChunkHasher,
  checkedSource,
  type RandomAccessSource,
  StreamFile,
  StreamWriter,
} from '@virtnbd/stream-format';
import { describe, expect, test } from 'vitest';
import { VirtualDisk } from '../src/index.ts';

const MIB = 1 << 20;
const FRAMES = 24;

/** A disk of frames of 1 MiB, each full of its number, and what was read of its file. */
async function disk(compression: 'lz4' | undefined, options: { cacheBytes?: number; broken?: number } = {}) {
  const parts: Uint8Array[] = [];
  const sink = { write: async (chunks: readonly Uint8Array[]) => void parts.push(Buffer.concat(chunks)) };
  const meta = {
    virtualSize: FRAMES * MIB,
    dataSize: FRAMES * MIB,
    date: '',
    diskName: 'vda',
    checkpointName: 'virtnbdbackup.0',
    compressed: false,
    parentCheckpoint: false as const,
    incremental: false,
    streamVersion: 2,
    extra: {},
  };
  const writer = new StreamWriter(sink, meta, { compression });
  await writer.start();
  for (let frame = 0; frame < FRAMES; frame++) await writer.data(frame * MIB, Buffer.alloc(MIB, frame + 1));
  await writer.finish();
  const bytes = Buffer.concat(parts);
  const { index } = await StreamFile.open(bytesSource(bytes));
  const hasher = new ChunkHasher();
  hasher.update(bytes);
  if (options.broken !== undefined) bytes.writeUInt8(0xee, index.fileOffset(options.broken) + 300_000);
  let read = 0;
  const inner = bytesSource(bytes);
  const source: RandomAccessSource = {
    size: inner.size,
    async read(offset, buffer) {
      await new Promise(setImmediate);
      read += buffer.length;
      await inner.read(offset, buffer);
    },
  };
  const file = await StreamFile.open(checkedSource(source, hasher.finish()));
  read = 0;
  const made = VirtualDisk.fromLayers([{ file, name: 'vda.full.data' }], options);
  return { disk: made, size: bytes.length, index, read: () => read };
}

async function readFrom(made: VirtualDisk, offset: number, length = 4096): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  await made.read(offset, buffer);
  return buffer;
}

/** Time for everything that was begun to end. */
const settle = async () => {
  for (let i = 0; i < 200; i++) await new Promise(setImmediate);
};

describe.each(['lz4', undefined] as const)('read-ahead (%s)', (compression) => {
  test('small reads in sequence load what comes next before it is asked for', async () => {
    const { disk: made, read } = await disk(compression);
    for (let offset = MIB - 65_536; offset < MIB; offset += 4096) await readFrom(made, offset);
    await settle();
    const before = read();
    expect((await readFrom(made, MIB)).every((byte) => byte === 2)).toBe(true);
    expect(read()).toBe(before);
  });

  test('reads here and there load nothing but what they need', async () => {
    const { disk: made, read } = await disk(compression);
    for (const frame of [20, 3, 11, 7, 18]) await readFrom(made, frame * MIB + 500_000);
    await settle();
    expect(read()).toBeLessThanOrEqual(5 * 2 * 262_144);
  });

  test('a whole pass in small reads reads the file once', async () => {
    const { disk: made, size, read } = await disk(compression);
    for (let offset = 0; offset < FRAMES * MIB; offset += 65_536) {
      const part = await readFrom(made, offset, 65_536);
      expect(part[0]).toBe(offset / MIB + 1 - ((offset / MIB) % 1));
    }
    expect(read()).toBeLessThanOrEqual(size + 16 * 262_144);
  });

  if (compression === undefined) {
    test('damage ahead does no harm until its chunk is read', async () => {
      const { disk: made, index } = await disk(compression, { broken: 12 });
      const step = 32_768;
      const chunk = Math.floor((index.fileOffset(12) + 300_000) / 262_144) * 262_144;
      const spoilt = 12 * MIB + chunk - index.fileOffset(12);
      let offset = 8 * MIB;
      for (; offset + step <= spoilt; offset += step) await readFrom(made, offset, step);
      await expect(readFrom(made, offset, step)).rejects.toMatchObject({ code: 'CHECKSUM', fileOffset: chunk });
    });
  }

  test('parallel reads in sequence give the right bytes from a cache of next to nothing', async () => {
    const { disk: made } = await disk(compression, { cacheBytes: 1 });
    const offsets = Array.from({ length: 200 }, (_, i) => i * 100_000);
    const next = offsets.values();
    const worker = async () => {
      for (const offset of next) {
        const part = await readFrom(made, offset, 100_000);
        expect([part[0], part.at(-1)]).toEqual([Math.floor(offset / MIB) + 1, Math.floor((offset + 99_999) / MIB) + 1]);
      }
    };
    await Promise.all([worker(), worker(), worker(), worker()]);
  });
});
