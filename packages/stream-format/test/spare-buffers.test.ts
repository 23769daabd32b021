import { describe, expect, test } from 'vitest';
import { SpareBuffers } from '../src/index.ts';

const KIB = 1024;

/** The memory of a buffer, to be told from another one's. */
const memory = (buffer: Uint8Array): ArrayBufferLike => buffer.buffer;

describe('a buffer that was given back', () => {
  test('is used again, for whatever fits', () => {
    const spare = new SpareBuffers(2);
    const first = spare.take(8 * KIB);
    spare.give(first);
    const again = spare.take(5 * KIB);
    expect(memory(again)).toBe(memory(first));
    expect(again.length).toBe(5 * KIB);
    expect(memory(spare.take(5 * KIB))).not.toBe(memory(first));
  });

  test('is left for others where it is far too large', () => {
    const spare = new SpareBuffers(2);
    const large = spare.take(64 * KIB);
    spare.give(large);
    expect(memory(spare.take(8 * KIB))).not.toBe(memory(large));
    expect(memory(spare.take(64 * KIB))).toBe(memory(large));
  });

  test('is let go, the oldest first, when there are more than are kept', () => {
    const spare = new SpareBuffers(2);
    const given = [1, 2, 3].map(() => spare.take(8 * KIB));
    for (const buffer of given) spare.give(buffer);
    const found = [1, 2, 3].map(() => memory(spare.take(8 * KIB)));
    expect(given.map((buffer) => found.includes(memory(buffer)))).toEqual([false, true, true]);
  });

  test('is let go when they have more bytes than are kept, counted by the memory that they hold', () => {
    const spare = new SpareBuffers(8, 20 * KIB);
    const given = [1, 2, 3].map(() => spare.take(8 * KIB));
    for (const buffer of given) spare.give(buffer);
    spare.give(spare.take(4 * KIB));
    const found = [1, 2, 3].map(() => memory(spare.take(8 * KIB)));
    expect(given.map((buffer) => found.includes(memory(buffer)))).toEqual([false, true, true]);
    const large = spare.take(21 * KIB);
    spare.give(large);
    expect(memory(spare.take(21 * KIB))).not.toBe(memory(large));
  });
});
