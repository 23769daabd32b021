import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Adler32 } from '../src/index.ts';
import { adler32OfZlib } from './zlib-adler32.ts';

test('equals zlib for any content, cut anywhere', () => {
  fc.assert(
    fc.property(fc.nat(600_000), fc.array(fc.nat(600_000), { maxLength: 4 }), fc.boolean(), (length, cuts, worst) => {
      const bytes = worst ? Buffer.alloc(length, 0xff) : randomBytes(length);
      const adler32 = new Adler32();
      let from = 0;
      for (const cut of [...cuts.sort((a, b) => a - b), length]) {
        adler32.update(bytes.subarray(from, cut));
        from = Math.max(from, cut);
      }
      expect(adler32.value).toBe(adler32OfZlib(bytes));
    }),
    { numRuns: 60 },
  );
});

test('the longest run of the largest bytes does not overflow', () => {
  const bytes = Buffer.alloc(3 * 1024 * 1024, 0xff);
  const adler32 = new Adler32();
  adler32.update(bytes);
  expect(adler32.value).toBe(adler32OfZlib(bytes));
});

test('of no bytes it is 1', () => {
  expect(new Adler32().value).toBe(1);
});
