import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { requires, run, tempFolder } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { compressBound, type Lz4Engine, loadLz4 } from '../src/index.ts';

const SIZES = [0, 1, 65_535, 65_536, 65_537, 300_000, 1 << 20, (5 << 20) + 3];

/** Half noise, half text. */
function sample(length: number): Buffer {
  const bytes = Buffer.alloc(length, 'The quick brown fox. ');
  randomBytes(Math.floor(length / 2)).copy(bytes);
  return bytes;
}

async function packed(engine: Lz4Engine, bytes: Uint8Array, level = 1): Promise<Buffer> {
  const target = Buffer.alloc(compressBound(bytes.length));
  return target.subarray(0, await engine.compress(bytes, target, level));
}

for (const name of ['liblz4', 'lz4-napi'] as const) {
  describe(name, async () => {
    const engine = await loadLz4({ engine: name });

    test('what it compresses comes back, from either engine', async () => {
      for (const reader of [engine, await loadLz4({ engine: name === 'liblz4' ? 'lz4-napi' : 'liblz4' })]) {
        for (const size of SIZES) {
          const bytes = sample(size);
          const target = Buffer.alloc(size);
          await reader.decompress(await packed(engine, bytes), target);
          expect(target.equals(bytes)).toBe(true);
        }
      }
    });

    test('noise fits into the bound', async () => {
      for (const size of SIZES) {
        expect((await packed(engine, randomBytes(size))).length).toBeLessThanOrEqual(compressBound(size));
      }
    });

    test.skipIf(requires('lz4').skip)(
      'the lz4 program opens its frames, and it opens those of the program',
      async () => {
        await using folder = await tempFolder();
        const [plain, frame] = [join(folder.path, 'plain'), join(folder.path, 'frame.lz4')];
        const bytes = sample(3_000_000);
        await writeFile(frame, await packed(engine, bytes));
        await run('lz4', ['-d', '-f', '-q', frame, plain]);
        expect((await readFile(plain)).equals(bytes)).toBe(true);
        for (const options of [
          ['-B4', '-BD', '-BX', '--content-size'],
          ['-B7', '--no-frame-crc'],
          ['-12', '-B5'],
        ]) {
          await run('lz4', [...options, '-f', '-q', plain, frame]);
          const target = Buffer.alloc(bytes.length);
          await engine.decompress(await readFile(frame), target);
          expect(target.equals(bytes)).toBe(true);
        }
      },
    );

    test('a target of another size than the content is refused', async () => {
      const frame = await packed(engine, sample(100_000));
      for (const size of [0, 99_999, 100_001]) {
        await expect(engine.decompress(frame, Buffer.alloc(size))).rejects.toMatchObject({ code: 'BAD_FRAME' });
      }
    });

    test('a flipped bit anywhere in a frame is refused, or changes nothing', async () => {
      const bytes = sample(200);
      const frame = await packed(engine, bytes);
      for (let bit = 0; bit < frame.length * 8; bit++) {
        const damaged = Buffer.from(frame);
        damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const target = Buffer.alloc(200);
        try {
          await engine.decompress(damaged, target);
          expect(target.equals(bytes)).toBe(true);
        } catch (error) {
          expect(error).toMatchObject({ code: 'BAD_FRAME' });
        }
      }
    });

    test('it works again after a refusal, and many calls at once keep apart', async () => {
      await expect(engine.decompress(Buffer.alloc(50), Buffer.alloc(50))).rejects.toMatchObject({ code: 'BAD_FRAME' });
      await Promise.all(
        Array.from({ length: 40 }, async (_, i) => {
          const bytes = Buffer.alloc(100_000 + i, `${i} `);
          const target = Buffer.alloc(bytes.length);
          await engine.decompress(await packed(engine, bytes), target);
          expect(target.equals(bytes)).toBe(true);
        }),
      );
    });

    test('a level outside its range is refused', async () => {
      for (const level of [0, -1, 1.5, engine.maximumLevel + 1]) {
        await expect(packed(engine, sample(10), level)).rejects.toMatchObject({ code: 'USAGE' });
      }
    });
  });
}

describe('liblz4', () => {
  test('is what is loaded where it is installed', async () => {
    const engine = await loadLz4();
    expect(engine).toMatchObject({ name: 'liblz4', maximumLevel: 12 });
    expect(engine.version).toMatch(/^\d+\.\d+\.\d+$/);
    expect(await loadLz4()).toBe(engine);
  });

  test('a higher level gives a smaller frame, and every level comes back', async () => {
    const engine = await loadLz4({ engine: 'liblz4' });
    const bytes = Buffer.from(Array.from({ length: 60_000 }, (_, i) => `${(i * 7919) % 1009} `).join(''));
    const sizes: number[] = [];
    for (let level = 1; level <= 12; level++) {
      const frame = await packed(engine, bytes, level);
      const target = Buffer.alloc(bytes.length);
      await engine.decompress(frame, target);
      expect(target.equals(bytes)).toBe(true);
      sizes.push(frame.length);
    }
    expect(sizes[1]).toBe(sizes[0]);
    expect(sizes[2]).toBeLessThan(sizes[1] ?? 0);
    expect(sizes[11]).toBeLessThanOrEqual(sizes[2] ?? 0);
  });

  test('a frame whose content is damaged passes only where its checksums are not asked for', async () => {
    const engine = await loadLz4({ engine: 'liblz4' });
    const frame = await packed(engine, randomBytes(1000));
    frame[500] = (frame[500] ?? 0) ^ 1;
    await expect(engine.decompress(frame, Buffer.alloc(1000))).rejects.toMatchObject({ code: 'BAD_FRAME' });
    await engine.decompress(frame, Buffer.alloc(1000), { skipChecksums: true });
  });

  test('a target below the bound is refused', async () => {
    const engine = await loadLz4({ engine: 'liblz4' });
    await expect(engine.compress(sample(1000), Buffer.alloc(1000), 1)).rejects.toMatchObject({ code: 'USAGE' });
  });
});
