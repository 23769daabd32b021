import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { withDifferences } from '../src/copy/compare-clean.ts';
import type { BlockReader } from '../src/copy/copy-disk.ts';
import { ExtentTable } from '../src/copy/extent-table.ts';

const SIZE = (3 << 20) + 512;
const { signal } = new AbortController();

const readerOf = (bytes: Uint8Array): BlockReader => ({
  read: async (offset, buffer) => buffer.set(bytes.subarray(offset, offset + buffer.length)),
});

test('whatever the bitmap tells, the runs laid over the parent point give the disk', async () => {
  const before = randomBytes(SIZE);
  const range = fc.tuple(fc.nat({ max: SIZE / 512 - 1 }), fc.integer({ min: 1, max: 4000 }));
  await fc.assert(
    fc.asyncProperty(fc.array(range, { maxLength: 6 }), fc.array(range, { maxLength: 6 }), async (changed, told) => {
      const now = Buffer.from(before);
      for (const [sector, sectors] of changed) now.fill(7, sector * 512, Math.min(SIZE, (sector + sectors) * 512));
      const table = new ExtentTable();
      let end = 0;
      for (const [sector, sectors] of told.toSorted((a, b) => a[0] - b[0])) {
        const start = Math.max(end, sector * 512);
        const length = Math.min(SIZE, (sector + sectors) * 512) - start;
        if (length > 0) table.add(start, length, 'data');
        end = Math.max(end, start + length);
      }
      const readers = { now: readerOf(now), before: readerOf(before), signal };
      const result = await withDifferences(table, SIZE, readers);
      const restored = Buffer.from(before);
      for (const { start, length } of result.table) now.copy(restored, start, start, start + length);
      expect(restored.equals(now)).toBe(true);
      expect(result.table.dataBytes).toBe(table.dataBytes + result.untold);
    }),
    { numRuns: 30 },
  );
});

test('where nothing else differs, nothing is added', async () => {
  const bytes = randomBytes(SIZE);
  const table = new ExtentTable();
  table.add(4096, 4096, 'zero');
  const result = await withDifferences(table, SIZE, { now: readerOf(bytes), before: readerOf(bytes), signal });
  expect([result.untold, [...result.table]]).toEqual([0, [...table]]);
});
