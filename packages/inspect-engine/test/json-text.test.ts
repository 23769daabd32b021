import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { jsonText } from '../src/index.ts';

const textOf = (value: unknown): string => [...jsonText(value)].join('');

test('what is written reads back as the same', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(JSON.parse(textOf(value))).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
});

test('what can be iterated is a list, also within lists; keys without a value are left out', () => {
  function* numbers() {
    yield 1;
    yield { start: 2, length: 3 };
  }
  const value = {
    list: { [Symbol.iterator]: numbers },
    nested: [{ ranges: { [Symbol.iterator]: numbers } }],
    no: undefined,
  };
  expect(JSON.parse(textOf(value))).toEqual({
    list: [1, { start: 2, length: 3 }],
    nested: [{ ranges: [1, { start: 2, length: 3 }] }],
  });
});

test('a million ranges come in small pieces', () => {
  const ranges = {
    *[Symbol.iterator]() {
      for (let start = 0; start < 1_000_000; start++) yield { start, length: 1 };
    },
  };
  let longest = 0;
  let total = 0;
  for (const piece of jsonText({ ranges })) {
    longest = Math.max(longest, piece.length);
    total += piece.length;
  }
  expect(longest).toBeLessThan(128 * 1024);
  expect(total).toBeGreaterThan(20_000_000);
});
