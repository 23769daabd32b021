import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bytesSource, checkStream, type Salvage, type SalvageOptions, StreamFile, salvage } from '../src/index.ts';
import { applyFrames, FIXTURES } from './fixtures.ts';
import { meta, stop } from './raw-frames.ts';
import { type Frame, metaOf, payloadOf, writeStream } from './writing.ts';

const SIZE = 1 << 20;

/** A base as virtnbd writes it: data and zero frames that cover the disk. */
const base: Frame[] = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => {
  const start = i * (SIZE / 8);
  const length = SIZE / 8;
  return i % 4 === 2 ? { start, length } : { start, length, payload: i % 2 ? randomBytes(length) : payloadOf(length) };
});
/** An increment: frames with gaps between. */
const increment: Frame[] = base.filter((_, i) => i % 3 !== 1);

async function salvaged(bytes: Uint8Array, options: SalvageOptions = {}): Promise<Salvage & { disk: Buffer }> {
  const result = await salvage(bytesSource(bytes), options);
  const disk = Buffer.alloc(SIZE);
  await applyFrames(result.file, disk);
  return { ...result, disk };
}

/** The disk equals what was written wherever nothing is said to be lost. */
function expectRight({ disk, lost }: { disk: Buffer; lost: Salvage['lost'] }, frames: readonly Frame[]): void {
  const right = diskOf(frames);
  for (const { start, length } of lost) {
    right.fill(0xee, start, start + length);
    disk.fill(0xee, start, start + length);
  }
  expect(disk.equals(right)).toBe(true);
}

function diskOf(frames: readonly Frame[]): Buffer {
  const disk = Buffer.alloc(SIZE);
  for (const { start, payload } of frames) if (payload) disk.set(payload, start);
  return disk;
}

function damage(bytes: Buffer, from: number, length: number): Buffer {
  const damaged = Buffer.from(bytes);
  for (let i = from; i < from + length; i++) damaged[i] = (damaged[i] ?? 0) ^ 0x5a;
  return damaged;
}

for (const compression of [undefined, 'lz4', 'zstd'] as const) {
  describe(`salvage of a ${compression ?? 'plain'} file`, async () => {
    const { bytes, summary } = await writeStream(SIZE, base, { compression, chunkSize: 4096 });
    const { index } = await StreamFile.open(bytesSource(bytes));
    const { chunks } = summary;
    const headerOf = (frame: number) => Math.max(40, index.fileOffset(frame)) - 40;

    test('of a whole file it is complete', async () => {
      for (const checksums of [undefined, chunks]) {
        const result = await salvaged(bytes, { checksums });
        expect(result).toMatchObject({ complete: true, lost: [], frames: 8, metaFrom: 'file' });
        expect(result.proof).toBe(checksums ? 'checksums' : 'structure');
        expectRight(result, base);
      }
    });

    test('cut off anywhere gives every frame before the cut, and says what is lost', async () => {
      const end = index.fileOffset(4) + index.storedLength(4) + 2;
      for (const size of [end - 3, end, end + 1, end + 39, end + 40, bytes.length - 1, bytes.length - 41]) {
        for (const checksums of [undefined, chunks]) {
          const result = await salvaged(bytes.subarray(0, size), { checksums });
          const least = size < end ? 3 : 4;
          expect(result.frames, `${size} bytes`).toBeGreaterThan(least);
          if (size < bytes.length - 45 - 8 * 8) expect(result.complete).toBe(false);
          expectRight(result, base);
        }
      }
    });

    test('a damaged header between sound ones is known again by its place', async () => {
      for (let byte = 0; byte < 40; byte++) {
        const result = await salvaged(damage(bytes, headerOf(3) + byte, 1));
        expect(result, `byte ${byte}`).toMatchObject({ complete: true, frames: 8 });
        expectRight(result, base);
      }
    });

    test('a digit of a header that became another one never puts bytes in a wrong place', async () => {
      for (let digit = 0; digit < 16; digit++) {
        for (const field of [5, 22]) {
          for (const value of ['1', '8', 'f']) {
            const changed = Buffer.from(bytes);
            changed.write(value, headerOf(3) + field + digit, 'latin1');
            const result = await salvaged(changed);
            expect(result.frames).toBeGreaterThanOrEqual(6);
            expectRight(result, base);
          }
        }
      }
    });

    test('a header blown away loses its frame and no other but, uncompressed, the one before', async () => {
      const result = await salvaged(damage(bytes, headerOf(4), 40));
      expect(result.frames).toBe(compression ? 7 : 6);
      expect(result.lost).toEqual([
        { start: (compression ? 4 : 3) * (SIZE / 8), length: (compression ? 1 : 2) * (SIZE / 8) },
      ]);
      expectRight(result, base);
    });

    test('damage to several headers is survived together', async () => {
      const result = await salvaged(damage(damage(bytes, headerOf(1) + 3, 2), headerOf(5) + 10, 5));
      expect(result).toMatchObject({ complete: true, frames: 8 });
      expectRight(result, base);
    });

    test('a damaged payload loses its frame when anything can tell', async () => {
      const damaged = damage(bytes, index.fileOffset(3) + 5000, 10);
      for (const checksums of compression ? [undefined, chunks] : [chunks]) {
        const result = await salvaged(damaged, { checksums });
        expect(result.complete).toBe(false);
        const [lost] = result.lost;
        expect(lost?.start).toBeGreaterThanOrEqual(3 * (SIZE / 8));
        expect(lost?.length).toBeLessThanOrEqual(compression ? SIZE / 8 : 2 * 4096);
        expect(result.frames).toBe(compression ? 7 : 8);
        expectRight(result, base);
      }
    });

    test('without trailer or stop frame nothing is lost', async () => {
      const end = index.fileOffset(7) + index.storedLength(7) + 2;
      for (const checksums of [undefined, chunks]) {
        const result = await salvaged(bytes.subarray(0, end), { checksums });
        expect(result.frames).toBe(8);
        // Of a chunk that is cut off no checksum can be compared.
        if (compression || !checksums) expect(result.lost).toEqual([]);
        else expect(result.lost[0]?.length).toBeLessThan(4096);
        expectRight(result, base);
      }
    });

    test('a damaged meta frame: read by its place, or given, or guessed', async () => {
      const header = await salvaged(damage(bytes, 3, 20));
      expect(header).toMatchObject({ metaFrom: 'file', complete: true });
      const ruined = damage(bytes, 50, 30);
      const given = await salvaged(ruined, { meta: { ...(await StreamFile.open(bytesSource(bytes))).meta } });
      expect(given).toMatchObject({ metaFrom: 'given', complete: true });
      const guessed = await salvaged(ruined);
      expect(guessed).toMatchObject({ metaFrom: 'guessed', frames: 8 });
      expect(guessed.file.meta.virtualSize).toBe(SIZE);
      for (const result of [header, given, guessed]) expectRight(result, base);
    });

    test('an increment cut off or damaged loses only what lies between its sound frames', async () => {
      const file = await writeStream(SIZE, increment, { compression, meta: { incremental: true } });
      const { index: frames } = await StreamFile.open(bytesSource(file.bytes));
      const result = await salvaged(damage(file.bytes, frames.fileOffset(3) - 40, 40));
      expect(result.complete).toBe(false);
      expectRight(result, increment);
      expect(result.lost.length).toBe(1);
    });

    test('any damage of a few bytes anywhere keeps most frames and gives no wrong byte, with checksums', async () => {
      for (let i = 0; i < 60; i++) {
        const at = Math.floor((i / 60) * bytes.length);
        const damaged = damage(bytes, at, 1 + (i % 17));
        const result = await salvaged(damaged, { checksums: chunks });
        expect(result.frames).toBeGreaterThanOrEqual(6);
        expectRight(result, base);
        const check = await checkStream(bytesSource(damaged), { checksums: chunks, depth: 'frames' });
        expect(check.sound).toBe(false);
      }
    });

    test('what was salvaged can be written anew and is then sound', async () => {
      const { file } = await salvage(bytesSource(bytes.subarray(0, headerOf(4))));
      const again: Frame[] = [];
      for (let frame = 0; frame < file.index.count; frame++) {
        const range = { start: file.index.start(frame), length: file.index.length(frame) };
        again.push(file.index.kind(frame) === 'zero' ? range : { ...range, payload: await file.payload(frame) });
      }
      const { bytes: anew } = await writeStream(SIZE, again, { compression });
      expect((await checkStream(bytesSource(anew), { depth: 'frames' })).sound).toBe(true);
    });
  });
}

describe('salvage', () => {
  test('a stream file inside the payload of another is not taken for frames, wherever a header is damaged', async () => {
    const inner = await writeStream(SIZE, base.slice(0, 2));
    const nested: Frame[] = [
      { start: 0, length: 4096, payload: randomBytes(4096) },
      { start: 4096, length: inner.bytes.length, payload: inner.bytes },
      { start: SIZE - 4096, length: 4096, payload: randomBytes(4096) },
    ];
    const { bytes } = await writeStream(SIZE, nested, { meta: { incremental: true } });
    const { index } = await StreamFile.open(bytesSource(bytes));
    for (const damaged of [damage(bytes, index.fileOffset(1) - 40, 40), damage(bytes, index.fileOffset(1) - 40, 3)]) {
      expectRight(await salvaged(damaged), nested);
    }
  });

  test("the established tool's interrupted file gives its frames up to the interruption", async () => {
    const partial = readFileSync(join(FIXTURES, 'interrupted-partial/vda.copy.data.partial'));
    const { file, complete, lost, frames } = await salvage(bytesSource(partial));
    expect(complete).toBe(false);
    expect(frames).toBe(1);
    expect([file.index.start(0), file.index.length(0)]).toEqual([0, 1048576]);
    expect(lost).toEqual([{ start: 1048576, length: file.meta.virtualSize - 1048576 }]);
  });

  test('cut LZ4 frames are recovered without the trailer', async () => {
    const whole = readFileSync(join(FIXTURES, 'lz4-cut-frames/vda.copy.data'));
    const { index } = await StreamFile.open(bytesSource(whole));
    const trailer = whole.lastIndexOf('[{"');
    const result = await salvage(bytesSource(whole.subarray(0, trailer)));
    expect(result).toMatchObject({ complete: true, frames: index.count, dataBytes: index.dataSize });
  });

  test('a disk image or noise is refused: there is nothing to recover', async () => {
    for (const bytes of [randomBytes(100_000), Buffer.alloc(100_000), Buffer.alloc(0)]) {
      await expect(salvage(bytesSource(bytes))).rejects.toMatchObject({ code: 'BAD_FRAME_HEADER' });
    }
  });

  test('an unknown version is refused, and named', async () => {
    const file = Buffer.concat([meta({ ...metaOf(4096, 0), streamVersion: 9 }), stop]);
    await expect(salvage(bytesSource(file))).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('9'),
    });
  });

  test('ends with the reason of the signal', async () => {
    const reason = new Error('enough');
    const { bytes, summary } = await writeStream(SIZE, base);
    for (const checksums of [undefined, summary.chunks]) {
      const options = { signal: AbortSignal.abort(reason), checksums };
      await expect(salvage(bytesSource(bytes), options)).rejects.toBe(reason);
    }
  });
});
