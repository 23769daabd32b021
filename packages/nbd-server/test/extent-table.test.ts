import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ExtentTable, type SourceExtent } from '../src/index.ts';

test('a range of the table has the kinds of its bytes, and neighbours differ', () => {
  const runs = fc.array(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.boolean()), { minLength: 1, maxLength: 200 });
  fc.assert(
    fc.property(runs, fc.nat(), fc.nat(), (list, a, b) => {
      const bytes: string[] = [];
      const extents = list.map(([length, zero]): SourceExtent => {
        const kind = zero ? 'zero' : 'data';
        const start = bytes.length;
        bytes.push(...Array<string>(length).fill(kind));
        return { start, length, kind };
      });
      const offset = a % bytes.length;
      const length = 1 + (b % (bytes.length - offset));
      const found = [...new ExtentTable(extents, bytes.length).range(offset, length)];
      expect(found.at(0)?.start).toBeLessThanOrEqual(offset);
      const spelled = found.flatMap((extent) => Array<string>(extent.length).fill(extent.kind));
      const from = found[0]?.start ?? 0;
      expect(spelled).toEqual(bytes.slice(from, from + spelled.length));
      expect(from + spelled.length).toBeGreaterThanOrEqual(offset + length);
      for (const [i, extent] of found.entries()) expect(extent.kind).not.toBe(found[i + 1]?.kind);
    }),
  );
});

test.each<[string, SourceExtent[]]>([
  [
    'a gap',
    [
      { start: 0, length: 5, kind: 'data' },
      { start: 6, length: 4, kind: 'data' },
    ],
  ],
  ['an end too early', [{ start: 0, length: 9, kind: 'zero' }]],
  ['an extent of no bytes', [{ start: 0, length: 0, kind: 'zero' }]],
  ['nothing', []],
])('%s is refused', (_, extents) => {
  expect(() => new ExtentTable(extents, 10)).toThrow(expect.objectContaining({ code: 'SOURCE' }));
});

test('an empty disk has no extents', () => {
  expect([...new ExtentTable([], 0).range(0, 0)]).toEqual([]);
});
