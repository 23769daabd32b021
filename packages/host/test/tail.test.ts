import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Tail } from '../src/tail.ts';

test('a tail keeps the last bytes of any run of chunks', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'grapheme-ascii' })), fc.integer({ min: 1, max: 20 }), (chunks, limit) => {
      const tail = new Tail(limit);
      for (const chunk of chunks) tail.push(Buffer.from(chunk));
      expect(tail.text()).toBe(chunks.join('').slice(-limit));
    }),
  );
});
