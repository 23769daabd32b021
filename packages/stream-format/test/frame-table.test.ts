import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { bytesSource, ChunkChecksums, checkedSource, type RandomAccessSource, StreamFile } from '../src/index.ts';
import { type Frame, payloadOf, writeStream } from './writing.ts';

const MIB = 1 << 20;

function counting(inner: RandomAccessSource): { source: RandomAccessSource; read: () => number } {
  let read = 0;
  const source: RandomAccessSource = {
    size: inner.size,
    read(offset, buffer) {
      read += buffer.length;
      return inner.read(offset, buffer);
    },
  };
  return { source, read: () => read };
}

/** Frames of 1 MiB with gaps and zero frames between. */
const frames: Frame[] = Array.from({ length: 24 }, (_, i) =>
  i % 3 === 2
    ? { start: 2 * i * MIB, length: 1.5 * MIB }
    : { start: 2 * i * MIB, length: MIB - i, payload: i % 2 ? randomBytes(MIB - i) : payloadOf(MIB - i) },
);

for (const compression of [undefined, 'lz4', 'zstd'] as const) {
  describe(`the frame table of a file, ${compression ?? 'plain'}`, async () => {
    const { bytes, summary } = await writeStream(64 * MIB, frames, { compression });
    const chunks = ChunkChecksums.decode(summary.chunks.encode());

    test('opens it with one read of one chunk', async () => {
      const { source, read } = counting(bytesSource(bytes));
      await StreamFile.open(checkedSource(source, chunks));
      expect(read()).toBe(chunks.chunkSize);
    });

    test('says what the headers say', async () => {
      const known = await StreamFile.open(checkedSource(bytesSource(bytes), chunks));
      const scanned = await StreamFile.open(bytesSource(bytes));
      expect(known.meta).toEqual(scanned.meta);
      expect(columns(known)).toEqual(columns(scanned));
      for (const [number, { payload }] of frames.entries()) {
        if (payload) expect(Buffer.compare(await known.payload(number), payload)).toBe(0);
      }
    });

    test('does not open another file of the same size', async () => {
      const other = await writeStream(64 * MIB, frames.slice(1), { compression });
      const size = bytes.length;
      const crcs = Uint32Array.from({ length: chunks.count }, (_, i) => chunks.crc(i));
      const foreign = other.summary.chunks.frameTable;
      const source = checkedSource(bytesSource(bytes), new ChunkChecksums(chunks.chunkSize, size, crcs, foreign));
      await expect(StreamFile.open(source)).rejects.toMatchObject({ code: 'BAD_CHECKSUM_FILE' });
    });

    test('is refused, and never believed, with any byte of it changed', async () => {
      const table = chunks.frameTable ?? new Uint8Array(0);
      const crcs = Uint32Array.from({ length: chunks.count }, (_, i) => chunks.crc(i));
      const right = columns(await StreamFile.open(bytesSource(bytes)));
      let refused = 0;
      for (let i = 0; i < table.length; i++) {
        for (const value of [0, 1, 0x7f, 0x80, 0xff]) {
          const changed = Buffer.from(table);
          changed[i] = value;
          const forged = new ChunkChecksums(chunks.chunkSize, bytes.length, crcs, changed);
          try {
            const opened = columns(await StreamFile.open(checkedSource(bytesSource(bytes), forged)));
            // Where the guest ranges lie is the table's to say: who forges it forges the manifest's hash of it as well.
            expect(payloads(opened)).toEqual(payloads(right));
          } catch (error) {
            refused++;
            expect(error).toMatchObject({
              code: expect.stringMatching(/^(BAD_CHECKSUM_FILE|BAD_META|OUT_OF_RANGE|FRAME_ORDER|BAD_FRAME_HEADER)$/),
            });
          }
        }
      }
      expect(refused).toBeGreaterThan(table.length / 2);
    });
  });
}

test('a file of very small frames has no table: its checksums stay below 1/1024 of it and 4 KiB', async () => {
  const small = Array.from({ length: 20_000 }, (_, i) => ({ start: i * 512, length: 256 }));
  const { bytes, summary } = await writeStream(1 << 30, small);
  expect(summary.chunks.frameTable).toBeUndefined();
  expect(summary.chunks.encode().length).toBeLessThan(4096 + bytes.length / 1024);
  expect((await StreamFile.open(checkedSource(bytesSource(bytes), summary.chunks))).index.count).toBe(20_000);
});

test('a chunk checksum file of version 1 is read, and the headers with it', async () => {
  const { bytes, summary } = await writeStream(64 * MIB, frames);
  const version2 = Buffer.from(summary.chunks.encode());
  const crcs = version2.subarray(32, 32 + 4 * summary.chunks.count);
  const head = Buffer.from(version2.subarray(0, 28));
  head.writeUInt32LE(1, 8);
  const { crc32 } = await import('node:zlib');
  const end = Buffer.alloc(4);
  end.writeUInt32LE(crc32(Buffer.concat([head, crcs])));
  const version1 = ChunkChecksums.decode(Buffer.concat([head, crcs, end]));
  expect(version1.frameTable).toBeUndefined();
  expect((await StreamFile.open(checkedSource(bytesSource(bytes), version1))).index.count).toBe(frames.length);
});

const payloads = (all: readonly number[][]) => all.filter((one) => one[2] !== -1).map((one) => one.slice(1));

function columns({ index }: StreamFile): [number, number, number, number][] {
  return Array.from({ length: index.count }, (_, i) => [
    index.start(i),
    index.length(i),
    index.fileOffset(i),
    index.storedLength(i),
  ]);
}
