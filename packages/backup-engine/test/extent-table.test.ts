import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ExtentTable } from '../src/copy/extent-table.ts';
import { FRAME_SIZE, frames } from '../src/copy/frames.ts';

test('neighbours of one kind become one run', () => {
  const table = new ExtentTable();
  table.add(0, 10, 'data');
  table.add(10, 10, 'data');
  table.add(20, 5, 'zero');
  table.add(30, 5, 'zero');
  expect([...table]).toEqual([
    { start: 0, length: 20, kind: 'data' },
    { start: 20, length: 5, kind: 'zero' },
    { start: 30, length: 5, kind: 'zero' },
  ]);
  expect([table.dataBytes, table.zeroBytes]).toEqual([20, 10]);
});

test('a run that goes back or is empty is refused', () => {
  const table = new ExtentTable();
  table.add(10, 10, 'data');
  expect(() => table.add(15, 10, 'zero')).toThrow(RangeError);
  expect(() => table.add(20, 0, 'zero')).toThrow(RangeError);
});

test('a million runs are kept, and come back in order', () => {
  const table = new ExtentTable();
  for (let i = 0; i < 1_000_000; i++) table.add(i * 65536, 65536, i % 2 === 0 ? 'data' : 'zero');
  let next = 0;
  for (const { start, kind } of table) {
    if (start !== next * 65536 || kind !== (next % 2 === 0 ? 'data' : 'zero')) expect.unreachable(`run ${next}`);
    next += 1;
  }
  expect(next).toBe(1_000_000);
  expect(table.dataBytes).toBe(500_000 * 65536);
});

test('frames cover the same bytes as the runs, cut at multiples of the frame size', () => {
  const runs = fc.array(
    fc.record({
      gap: fc.integer({ min: 0, max: 3 << 20 }),
      length: fc.integer({ min: 1, max: 5 << 20 }),
      zero: fc.boolean(),
    }),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(runs, (list) => {
      const table = new ExtentTable();
      let at = 0;
      for (const { gap, length, zero } of list) {
        table.add(at + gap, length, zero ? 'zero' : 'data');
        at += gap + length;
      }
      const merged = new ExtentTable();
      for (const frame of frames(table)) {
        merged.add(frame.start, frame.length, frame.kind);
        if (frame.kind === 'zero') continue;
        expect(frame.length).toBeLessThanOrEqual(FRAME_SIZE);
        expect(Math.floor(frame.start / FRAME_SIZE)).toBe(Math.floor((frame.start + frame.length - 1) / FRAME_SIZE));
      }
      expect([...merged]).toEqual([...table]);
    }),
  );
});
