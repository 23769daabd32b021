import fc from 'fast-check';
import { expect, test } from 'vitest';
import { mergeMaps } from '../src/copy/nbdinfo-extents.ts';

const told = (...lengths: readonly (readonly [length: number, type: number])[]) => {
  let offset = 0;
  return lengths.map(([length, type]) => {
    offset += length;
    return { offset: offset - length, length, type };
  });
};

test('two maps are cut to the borders of both', () => {
  expect(mergeMaps([told([4, 0], [4, 3]), told([2, 1], [6, 0])])).toEqual([
    { start: 0, length: 2, flags: [0, 1] },
    { start: 2, length: 2, flags: [0, 0] },
    { start: 4, length: 4, flags: [3, 0] },
  ]);
});

test('the shortest map ends the runs, and so does a gap: whoever takes them finds the rest missing', () => {
  expect(mergeMaps([told([8, 0]), told([4, 1])])).toEqual([{ start: 0, length: 4, flags: [0, 1] }]);
  expect(mergeMaps([[{ offset: 4, length: 4, type: 0 }]])).toEqual([]);
  expect(mergeMaps([])).toEqual([]);
});

test('every byte has the flags that its own extent in each map has', () => {
  const map = fc.array(fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 0, max: 3 })), { maxLength: 8 });
  const bytes = (extents: ReturnType<typeof told>): number[] =>
    extents.flatMap(({ length, type }) => Array.from({ length }, () => type));
  fc.assert(
    fc.property(map, map, (first, second) => {
      const maps = [told(...first), told(...second)];
      const runs = mergeMaps(maps);
      const [one = [], two = []] = maps.map(bytes);
      const found = runs.flatMap(({ length, flags }) => Array.from({ length }, () => flags));
      expect(found).toEqual(one.slice(0, two.length).map((flag, index) => [flag, two[index]]));
    }),
  );
});
