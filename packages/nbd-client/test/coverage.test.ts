import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Coverage } from '../src/coverage.ts';

test('ranges in any order and of any length are told apart from overlaps, as in a set of bytes', () => {
  const range = fc.tuple(fc.integer({ min: -2, max: 70 }), fc.integer({ min: 1, max: 70 }));
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 66 }), fc.array(range, { maxLength: 12 }), (length, ranges) => {
      const coverage = new Coverage(length);
      const model = new Set<number>();
      for (const [start, size] of ranges) {
        const bytes = Array.from({ length: size }, (_, i) => start + i);
        const fits = bytes.every((byte) => byte >= 0 && byte < length && !model.has(byte));
        expect(coverage.add(start, size)).toBe(fits);
        if (!fits) return;
        for (const byte of bytes) model.add(byte);
        expect(coverage.complete).toBe(model.size === length);
      }
    }),
    { numRuns: 2000 },
  );
});

test('half a million chunks of one byte in reverse order cost no more than half a million marks', () => {
  const length = 512 * 1024;
  const coverage = new Coverage(length);
  for (let start = length - 1; start >= 0; start--) expect(coverage.add(start, 1)).toBe(true);
  expect(coverage.complete).toBe(true);
});
