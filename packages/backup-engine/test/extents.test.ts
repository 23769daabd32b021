import { expect, test } from 'vitest';
import { collectExtents } from '../src/copy/extents.ts';

const HOLE = 1;
const ZERO = 2;
const DIRTY = 1;

async function* batches(...runs: [length: number, ...flags: number[]][]) {
  let start = 0;
  for (const [length, ...flags] of runs) {
    yield [{ start, length, flags }];
    start += length;
  }
}

test('a base saves everything: what reads as zero as zero, a hole that does not as data', async () => {
  const runs = batches([100, 0], [100, HOLE | ZERO], [100, ZERO], [100, HOLE]);
  const table = await collectExtents(runs, { target: 'vda', size: 400, incremental: false });
  expect([...table]).toEqual([
    { start: 0, length: 100, kind: 'data' },
    { start: 100, length: 200, kind: 'zero' },
    { start: 300, length: 100, kind: 'data' },
  ]);
});

test('an increment saves what is dirty, also where it became zero', async () => {
  const runs = batches([100, 0, 0], [100, 0, DIRTY], [100, HOLE | ZERO, DIRTY], [100, HOLE | ZERO, 0]);
  const table = await collectExtents(runs, { target: 'vda', size: 400, incremental: true });
  expect([...table]).toEqual([
    { start: 100, length: 100, kind: 'data' },
    { start: 200, length: 100, kind: 'zero' },
  ]);
});

test.each([
  ['end too early', batches([100, 0]), false],
  ['end too late', batches([300, 0]), false],
  ['lack the dirty bitmap', batches([200, 0]), true],
])('runs that %s are refused', async (_name, runs, incremental) => {
  const collecting = collectExtents(runs, { target: 'vda', size: 200, incremental });
  await expect(collecting).rejects.toMatchObject({ code: 'EXPORT_MISMATCH', disk: 'vda' });
});

test('a gap between runs is refused', async () => {
  async function* gap() {
    yield [{ start: 0, length: 100, flags: [0] }];
    yield [{ start: 150, length: 50, flags: [0] }];
  }
  const collecting = collectExtents(gap(), { target: 'vda', size: 200, incremental: false });
  await expect(collecting).rejects.toMatchObject({ code: 'EXPORT_MISMATCH' });
});

test('on request an increment saves as data what became zero; a base does not', async () => {
  const increment = batches([100, 0, DIRTY], [100, ZERO, DIRTY], [100, ZERO, 0]);
  const disk = { target: 'vda', size: 300, zeroesAsData: true };
  expect([...(await collectExtents(increment, { ...disk, incremental: true }))]).toEqual([
    { start: 0, length: 200, kind: 'data' },
  ]);
  const base = await collectExtents(batches([300, ZERO]), { ...disk, incremental: false });
  expect([...base]).toEqual([{ start: 0, length: 300, kind: 'zero' }]);
});
