import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bytesSource, type CheckOptions, ChunkChecksums, checkStream, StreamFile } from '../src/index.ts';
import { FIXTURES, faithfulPoints, foldersWithPoints } from './fixtures.ts';
import { type Frame, payloadOf, writeStream } from './writing.ts';

const PART = 100_000;
const frames: Frame[] = [0, 1, 2, 3, 4, 5].map((i) =>
  i === 2 ? { start: i * PART, length: PART } : { start: i * PART, length: PART, payload: payloadOf(PART) },
);

function damaged(bytes: Buffer, ...places: number[]): Buffer {
  const copy = Buffer.from(bytes);
  for (const place of places) copy[place] = (copy[place] ?? 0) ^ 1;
  return copy;
}

for (const compression of [undefined, 'lz4', 'zstd'] as const) {
  describe(`a check of a ${compression ?? 'plain'} file`, async () => {
    const { bytes, summary } = await writeStream(6 * PART, frames, { compression, chunkSize: 4096 });
    const { chunks, adler32 } = summary;
    const { index } = await StreamFile.open(bytesSource(bytes));
    const check = (input: Buffer, options: CheckOptions = {}) => checkStream(bytesSource(input), options);

    test('finds nothing in a sound one, at any depth', async () => {
      for (const depth of ['structure', 'checksums', 'frames'] as const) {
        const report = await check(bytes, { depth, checksums: chunks, adler32 });
        expect(report).toMatchObject({
          sound: true,
          problems: [],
          problemCount: 0,
          chunksChecked: depth === 'structure' ? 0 : chunks.count,
          framesDecoded: depth === 'frames' && compression ? 5 : 0,
        });
        expect(report.adler32).toBe(depth === 'structure' ? undefined : adler32);
      }
    });

    test('maps a damaged chunk to the guest bytes that it spoils', async () => {
      const place = index.fileOffset(3) + 10_000;
      const report = await check(damaged(bytes, place), { depth: 'checksums', checksums: chunks });
      const chunk = Math.floor(place / 4096) * 4096;
      expect(report).toMatchObject({ sound: false, problemCount: 1 });
      expect(report.problems[0]).toMatchObject({ code: 'CHECKSUM', fileOffset: chunk, fileLength: 4096 });
      const start = compression ? 3 * PART : 3 * PART + chunk - index.fileOffset(3);
      expect(report.problems[0]?.guest).toEqual([{ start, length: compression ? PART : 4096 }]);
    });

    test('goes on after damage, and tells of all of it', async () => {
      const places = [0, 3, 5].map((frame) => index.fileOffset(frame) + 5000);
      const report = await check(damaged(bytes, ...places), { depth: 'checksums', checksums: chunks, adler32 });
      expect(report.problemCount).toBe(4); // three chunks, and the Adler-32 of all
    });

    test('tells a damaged header, though the frame table stands for it', async () => {
      const report = await check(damaged(bytes, index.fileOffset(3) - 39), { checksums: chunks });
      expect(report).toMatchObject({ sound: false, problems: [{ code: 'BAD_FRAME_HEADER' }] });
      expect(report.index?.count).toBe(6);
    });

    test('tells headers that are sound and not what the frame table says', async () => {
      const other = await writeStream(6 * PART, frames, { compression, chunkSize: 4096, meta: { diskName: 'vdb' } });
      const crcs = Uint32Array.from({ length: chunks.count }, (_, i) => chunks.crc(i));
      const shifted = Buffer.from(bytes);
      // A gap where there was none: the start of the zero frame and its length, one smaller.
      const header = index.fileOffset(3) - 80;
      shifted.write('0000000000030d41', header + 5, 'latin1');
      shifted.write('000000000001869f', header + 22, 'latin1');
      const checksums = new ChunkChecksums(4096, bytes.length, crcs, chunks.frameTable);
      const report = await check(shifted, { checksums });
      expect(report.problems.map(({ code }) => code)).toContain('BAD_CHECKSUM_FILE');
      expect(other.bytes.length).toBe(bytes.length);
    });

    test('tells a file that was cut off', async () => {
      for (const depth of ['structure', 'checksums', 'frames'] as const) {
        const report = await check(bytes.subarray(0, 200_000), { depth, checksums: chunks });
        expect(report.problems.map(({ code }) => code)).toEqual(expect.arrayContaining(['CHECKSUM', 'TRUNCATED']));
      }
    });

    test('tells a file that is none at all', async () => {
      const report = await check(Buffer.alloc(5000), { depth: 'frames' });
      expect(report).toMatchObject({ sound: false, problems: [{ code: 'BAD_FRAME_HEADER' }] });
      expect(report.meta).toBeUndefined();
    });

    test('tells its progress to the end', async () => {
      const seen: number[] = [];
      let total = 0;
      await check(bytes, {
        depth: 'frames',
        adler32,
        onProgress: (progress) => {
          seen.push(progress.done);
          total = progress.total;
        },
      });
      expect(seen.every((done, i) => i === 0 || done >= (seen[i - 1] ?? 0))).toBe(true);
      expect(total).toBe(compression ? 2 * bytes.length : bytes.length);
    });

    test('ends with the reason of the signal, and with an error of the source', async () => {
      const reason = new Error('enough');
      await expect(check(bytes, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
      const broken = { size: 1000, read: () => Promise.reject(reason) };
      await expect(checkStream(broken)).rejects.toBe(reason);
    });

    if (compression !== undefined) {
      test('decodes: a damaged payload is found without any checksum file', async () => {
        const bad = damaged(bytes, index.fileOffset(3) + 10_000);
        expect((await check(bad)).sound).toBe(true);
        const report = await check(bad, { depth: 'frames', name: 'vda.full.data' });
        expect(report).toMatchObject({ sound: false, framesDecoded: 4 });
        expect(report.problems[0]).toMatchObject({
          code: 'BAD_PAYLOAD',
          fileOffset: index.fileOffset(3),
          guest: [{ start: 3 * PART, length: PART }],
          message: expect.stringContaining('vda.full.data: '),
        });
      });
    }
  });
}

test('only the first 1000 problems are kept, and all are counted', async () => {
  const { bytes, summary } = await writeStream(
    1 << 23,
    [{ start: 0, length: 1 << 23, payload: randomBytes(1 << 23) }],
    {
      chunkSize: 4096,
    },
  );
  const report = await checkStream(bytesSource(bytes.map((byte) => byte ^ 1)), {
    depth: 'checksums',
    checksums: summary.chunks,
  });
  expect(report.problems.length).toBe(1000);
  expect(report.problemCount).toBeGreaterThan(2000);
});

describe('files of the established tool', () => {
  for (const folder of foldersWithPoints()) {
    test(`${folder}: are sound, against their Adler-32, to the last frame`, async () => {
      for (const { file } of faithfulPoints(folder)) {
        const adler32 = Number(readFileSync(join(FIXTURES, folder, `${file}.chksum`), 'latin1').trim());
        const source = bytesSource(readFileSync(join(FIXTURES, folder, file)));
        expect((await checkStream(source, { depth: 'frames', adler32 })).problems).toEqual([]);
      }
    });
  }
});
