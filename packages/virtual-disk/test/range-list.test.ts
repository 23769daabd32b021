import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { RangeList } from '../src/range-list.ts';

const SIZE = 64;
const bits = fc.array(fc.boolean(), { minLength: SIZE, maxLength: SIZE });

function listOf(set: readonly boolean[]): RangeList {
  const list = new RangeList();
  set.forEach((isIn, index) => {
    if (isIn) list.add(index, index + 1);
  });
  return list;
}

function bitsOf(list: RangeList): boolean[] {
  const set = new Array<boolean>(SIZE).fill(false);
  for (const { start, length } of list) set.fill(true, start, start + length);
  return set;
}

test('differences, unions and cuts are those of sets of bytes', () => {
  fc.assert(
    fc.property(bits, bits, fc.nat(SIZE), (a, b, limit) => {
      expect(bitsOf(listOf(a).without(listOf(b)))).toEqual(a.map((isIn, i) => isIn && !b[i]));
      expect(bitsOf(listOf(a).with(listOf(b)))).toEqual(a.map((isIn, i) => isIn || b[i]));
      expect(bitsOf(listOf(a).below(limit))).toEqual(a.map((isIn, i) => isIn && i < limit));
      expect(listOf(a).bytes).toBe(a.filter(Boolean).length);
    }),
  );
});

test('ranges that touch are one, and what is covered already is left out', () => {
  const list = new RangeList();
  list.add(0, 10);
  list.add(10, 20);
  list.add(15, 25);
  list.add(30, 30);
  list.add(40, 50);
  expect([...list]).toEqual([
    { start: 0, length: 25 },
    { start: 40, length: 10 },
  ]);
});
