import { expect, test } from 'vitest';
import { parseBytes } from '../src/index.ts';

test.each([
  ['4096', 4096],
  ['64K', 65536],
  ['1.5m', 1_572_864],
  ['10 MiB', 10_485_760],
  ['2GB', 2 ** 31],
  ['1T', 2 ** 40],
])('%s is %i bytes', (text, bytes) => {
  expect(parseBytes(text)).toBe(bytes);
});

test.each(['', 'fast', '-1', '1e3', '10X', '9999999T'])('%j is no number of bytes', (text) => {
  expect(parseBytes(text)).toBeUndefined();
});
