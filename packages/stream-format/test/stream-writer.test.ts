import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesSource, type ChunkChecksums, ChunkHasher, StreamFile, StreamWriter } from '../src/index.ts';
import { type Frame, MemorySink, metaOf, payloadOf, writeStream } from './writing.ts';
import { adler32OfZlib } from './zlib-adler32.ts';

/** Frames in order, with gaps, that fit a disk. */
const frames = fc
  .array(fc.tuple(fc.nat(3), fc.integer({ min: 1, max: 200_000 }), fc.constantFrom('zero', 'noise', 'text')), {
    maxLength: 20,
  })
  .map((parts) => {
    let start = 0;
    const list: Frame[] = [];
    for (const [gap, length, kind] of parts) {
      start += gap * 4096;
      if (kind === 'zero') list.push({ start, length });
      else list.push({ start, length, payload: kind === 'noise' ? randomBytes(length) : payloadOf(length) });
      start += length;
    }
    return { list, size: start + 4096 };
  });

const crcsOf = (chunks: ChunkChecksums) => Array.from({ length: chunks.count }, (_, i) => chunks.crc(i));

describe('StreamWriter', () => {
  for (const compression of [undefined, 'lz4', 'zstd'] as const) {
    test(`what is written ${compression ?? 'uncompressed'} reads back the same`, async () => {
      await fc.assert(
        fc.asyncProperty(frames, async ({ list, size }) => {
          const { bytes, summary } = await writeStream(size, list, { compression });
          const file = await StreamFile.open(bytesSource(bytes));
          expect(file.index.count).toBe(list.length);
          for (const [number, frame] of list.entries()) {
            expect([file.index.start(number), file.index.length(number)]).toEqual([frame.start, frame.length]);
            expect(file.index.kind(number)).toBe(frame.payload ? 'data' : 'zero');
            if (frame.payload) expect(Buffer.compare(await file.payload(number), frame.payload)).toBe(0);
          }
          expect(summary).toMatchObject({
            size: bytes.length,
            dataFrames: list.filter((frame) => frame.payload).length,
            zeroFrames: list.filter((frame) => !frame.payload).length,
            dataSize: file.meta.dataSize,
            adler32: adler32OfZlib(bytes),
          });
          const hasher = new ChunkHasher();
          hasher.update(bytes);
          expect(crcsOf(summary.chunks)).toEqual(crcsOf(hasher.finish()));
        }),
        { numRuns: 40 },
      );
    });
  }

  test('a compressed file states the level, and its size is the sum of its parts', async () => {
    const { bytes, summary } = await writeStream(1 << 20, [{ start: 0, length: 1000, payload: payloadOf(1000) }], {
      compression: 'lz4',
      meta: { compressed: 5 },
    });
    const file = await StreamFile.open(bytesSource(bytes));
    expect(file.meta).toMatchObject({ compressed: 5, compressionMethod: 'lz4', streamVersion: 2 });
    expect(file.index.storedLength(0)).toBe(summary.storedSize);
  });

  test('the writer key and unknown keys are kept; unknown keys do not replace known ones', async () => {
    const meta = {
      diskName: 'vdä',
      writer: { name: 'virtnbd', version: '1.2.3' },
      extra: { colour: 'blue', virtualSize: 1, __proto__x: [1] },
    };
    const { bytes } = await writeStream(4096, [{ start: 0, length: 4096 }], { meta });
    const file = await StreamFile.open(bytesSource(bytes));
    expect(file.meta.diskName).toBe('vdä');
    expect(file.meta.writer).toEqual(meta.writer);
    expect(file.meta.virtualSize).toBe(4096);
    expect(file.meta.extra).toEqual({ colour: 'blue', __proto__x: [1] });
  });

  test('each frame is whole in one write, and frames that wait share one', async () => {
    const list = Array.from({ length: 100 }, (_, i) => ({ start: i * 512, length: 512, payload: randomBytes(512) }));
    const { sink } = await writeStream(1 << 20, list);
    expect(sink.writes.length).toBeLessThan(20);
    expect(sink.writes.reduce((sum, chunks) => sum + chunks, 0)).toBe(3 + 100 * 3 + 1);
  });

  test('an empty increment has no frames, and with lz4 an empty trailer', async () => {
    const plain = await writeStream(4096, []);
    const lz4 = await writeStream(4096, [], { compression: 'lz4' });
    expect(lz4.bytes.subarray(-44).toString()).toBe('[]\r\ncomp 0000000000000000 0000000000000002\r\n');
    for (const { bytes } of [plain, lz4]) expect((await StreamFile.open(bytesSource(bytes))).index.count).toBe(0);
  });

  test('finish refuses a sum of lengths that is not dataSize', async () => {
    const writer = new StreamWriter(new MemorySink(), metaOf(4096, 1000));
    await writer.start();
    await writer.data(0, new Uint8Array(999));
    await expect(writer.finish()).rejects.toMatchObject({ code: 'USAGE' });
  });

  test.each([
    ['overlap', 100, 10],
    ['past the end', 4000, 97],
    ['no bytes', 2000, 0],
    ['a fraction', 2000.5, 1],
  ])('a frame is refused for: %s', async (_, start, length) => {
    const writer = new StreamWriter(new MemorySink(), metaOf(4096, 0));
    await writer.start();
    await writer.zero(0, 1000);
    await expect(writer.zero(start, length)).rejects.toMatchObject({ code: 'USAGE' });
    await expect(writer.zero(1000, 1), 'and every later call').rejects.toMatchObject({ code: 'USAGE' });
    await expect(writer.finish()).rejects.toMatchObject({ code: 'USAGE' });
  });

  test('a data frame of 32 MiB is refused', async () => {
    const writer = new StreamWriter(new MemorySink(), metaOf(2 ** 30, 0));
    await writer.start();
    await expect(writer.data(0, new Uint8Array(32 * 1024 * 1024))).rejects.toMatchObject({ code: 'USAGE' });
  });

  for (const compression of [undefined, 'lz4', 'zstd'] as const) {
    test(`after the n-th write has failed every call fails with its error (${compression ?? 'plain'})`, async () => {
      for (let n = 0; n < 6; n++) {
        const full = new Error('No space left');
        const sink = new MemorySink();
        const failing = {
          write: async (chunks: readonly Uint8Array[]) => {
            if (sink.writes.length >= n) throw full;
            await sink.write(chunks);
          },
        };
        const writer = new StreamWriter(failing, metaOf(4096, 3000), { compression });
        const calls: (() => Promise<unknown>)[] = [
          () => writer.start(),
          () => writer.data(0, randomBytes(1000)),
          () => writer.zero(1000, 1000),
          () => writer.data(2000, randomBytes(2000)),
          () => writer.finish(),
        ];
        let failed = false;
        for (const call of calls) {
          const outcome = await call().then(
            () => 'done',
            (error: unknown) => error,
          );
          if (outcome !== 'done') failed = true;
          expect(outcome).toBe(failed ? full : 'done');
        }
        expect(failed).toBe(n < (compression ? 6 : 5)); // a trailer is one write more
      }
    });
  }

  test.each(['lz4', undefined] as const)('a slow sink holds everything back (%s)', async (compression) => {
    let writes = 0;
    let open = 0;
    let most = 0;
    const slow = {
      async write() {
        most = Math.max(most, ++open);
        await new Promise((resolve) => setTimeout(resolve, 2));
        open--;
        writes++;
      },
    };
    const writer = new StreamWriter(slow, metaOf(1 << 24, 20 * 600_000), { compression });
    await writer.start();
    const ended: number[] = [];
    const calls = Array.from({ length: 20 }, async (_, i) => {
      await writer.data(i * 700_000, randomBytes(600_000));
      ended.push(i);
      expect(writes).toBeGreaterThan(i / 2); // a batch takes two frames of this size
    });
    await Promise.all(calls);
    await writer.finish();
    expect(most).toBe(1);
    expect(ended).toEqual([...ended].sort((a, b) => a - b));
  });

  test('the meta frame tells the level that is really used, the nearest that there is', async () => {
    const payload = readFileSync(join(import.meta.dirname, '../SPEC.md'));
    const write = async (compression: 'lz4' | 'zstd', level?: number) => {
      const options = { compression, ...(level !== undefined && { level }) };
      const { bytes } = await writeStream(1 << 20, [{ start: 0, length: payload.length, payload }], options);
      const { meta, index } = await StreamFile.open(bytesSource(bytes));
      return { level: meta.compressed, stored: index.storedLength(0), version: meta.streamVersion };
    };
    expect(await write('lz4')).toMatchObject({ level: 2, version: 2 });
    expect(await write('lz4', 40)).toMatchObject({ level: 12 });
    expect(await write('lz4', -3)).toMatchObject({ level: 1 });
    expect((await write('lz4', 12)).stored).toBeLessThan((await write('lz4', 2)).stored);
    expect(await write('zstd')).toMatchObject({ level: 3, version: 3 });
    expect((await write('zstd', 19)).stored).toBeLessThan((await write('zstd', 1)).stored);
  });
});
