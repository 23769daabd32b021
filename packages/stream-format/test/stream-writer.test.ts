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

  test('the sink gets pieces of 1 MiB, whatever the frames are, and the rest at the end', async () => {
    const list = Array.from({ length: 50 }, (_, i) => ({
      start: i << 17,
      length: 1 << 16,
      payload: randomBytes(1 << 16),
    }));
    const { sink, bytes } = await writeStream(1 << 24, list);
    expect(sink.writes).toEqual([1 << 20, 1 << 20, 1 << 20, bytes.length - (3 << 20)]);
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
        let writes = 0;
        const failing = {
          write: async () => {
            if (writes++ >= n) throw full;
          },
        };
        const size = 1_500_000;
        const writer = new StreamWriter(failing, metaOf(10 * size, 4 * size), { compression });
        const calls: (() => Promise<unknown>)[] = [
          () => writer.start(),
          ...[0, 1, 2, 3].map((i) => () => writer.data(2 * i * size, randomBytes(size))),
          () => writer.zero(9 * size, 1000),
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
        expect(failed).toBe(n < 6); // 6 MB are 6 pieces
      }
    });
  }

  test.each(['lz4', undefined] as const)('a slow sink holds everything back (%s)', async (compression) => {
    let open = 0;
    let most = 0;
    let written = 0;
    const slow = {
      async write([piece]: readonly Uint8Array[]) {
        most = Math.max(most, ++open);
        await new Promise((resolve) => setTimeout(resolve, 2));
        open--;
        written += piece?.length ?? 0;
      },
    };
    const writer = new StreamWriter(slow, metaOf(1 << 24, 20 * 600_000), { compression, segments: 4 });
    await writer.start();
    const ended: number[] = [];
    const calls = Array.from({ length: 20 }, async (_, i) => {
      await writer.data(i * 700_000, randomBytes(600_000));
      ended.push(i);
      expect((i + 1) * 600_000 - written, 'bytes in memory').toBeLessThanOrEqual(5 << 20);
    });
    await Promise.all(calls);
    const { size } = await writer.finish();
    expect(written).toBe(size);
    expect(most).toBeLessThanOrEqual(4);
    expect(ended).toEqual([...ended].sort((a, b) => a - b));
  });

  describe('place', () => {
    /** Frames at random, payloads put into places in any order beside others that are copied. */
    const parts = fc.array(
      fc.record({
        gap: fc.nat(3),
        length: fc.oneof(fc.integer({ min: 1, max: 1 << 20 }), fc.integer({ min: 1, max: 5000 })),
        how: fc.constantFrom('place', 'place', 'data', 'zero'),
        wait: fc.nat(5),
      }),
      { maxLength: 25 },
    );

    test('payloads that are put into their places, in any order, make the same file as copied ones', async () => {
      await fc.assert(
        fc.asyncProperty(
          parts,
          fc.constantFrom(3, 4, 6),
          fc.constantFrom(4096, undefined, 1 << 21),
          async (list, segments, chunkSize) => {
            let end = 0;
            const frames = list.map(({ gap, length, how, wait }) => {
              const start = end + gap * 512;
              end = start + length;
              return { start, length, how, wait, ...(how !== 'zero' && { payload: randomBytes(length) }) };
            });
            const chunks = chunkSize === undefined ? {} : { chunkSize };
            const wanted = await writeStream(end + 1, frames, chunks);
            const dataSize = frames.reduce((sum, { payload }) => sum + (payload?.length ?? 0), 0);
            const sink = new MemorySink();
            const writer = new StreamWriter(sink, metaOf(end + 1, dataSize), { segments, ...chunks });
            await writer.start();
            const calls: Promise<void>[] = [];
            for (const { start, length, how, wait, payload } of frames) {
              if (payload === undefined) calls.push(writer.zero(start, length));
              else if (how === 'data') calls.push(writer.data(start, payload));
              else {
                const place = await writer.place(start, length);
                const fill = async (): Promise<void> => {
                  for (let i = 0; i < wait; i++) await new Promise(setImmediate);
                  let from = 0;
                  for (const buffer of place?.buffers ?? []) {
                    buffer.set(payload.subarray(from, from + buffer.length));
                    from += buffer.length;
                  }
                  place?.filled();
                };
                calls.push(fill());
              }
            }
            await Promise.all(calls);
            const summary = await writer.finish();
            expect(Buffer.compare(sink.bytes(), wanted.bytes)).toBe(0);
            expect({ ...summary, chunks: crcsOf(summary.chunks) }).toEqual({
              ...wanted.summary,
              chunks: crcsOf(wanted.summary.chunks),
            });
          },
        ),
        { numRuns: 60 },
      );
    }, 60_000);

    test('there is none for compressed payloads, nor for ones of more than 1 MiB', async () => {
      const compressed = new StreamWriter(new MemorySink(), metaOf(4096, 512), { compression: 'lz4' });
      await compressed.start();
      expect(await compressed.place(0, 512)).toBe(null);
      const plain = new StreamWriter(new MemorySink(), metaOf(1 << 24, 2 << 20));
      await plain.start();
      expect(await plain.place(0, (1 << 20) + 1)).toBe(null);
      await plain.data(0, new Uint8Array(2 << 20));
      expect(await plain.finish()).toMatchObject({ dataFrames: 1 });
    });

    test('finish refuses a file with a place that was not filled', async () => {
      const writer = new StreamWriter(new MemorySink(), metaOf(4096, 512));
      await writer.start();
      await writer.place(0, 512);
      await expect(writer.finish()).rejects.toMatchObject({ code: 'USAGE' });
    });
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
