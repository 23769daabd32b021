import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Crc32Shift } from '../src/checks/crc32-shift.ts';

test('the checksum of two pieces comes of theirs, whatever their lengths', () => {
  fc.assert(
    fc.property(fc.nat(10_000), fc.nat(10_000), (first, second) => {
      const [a, b] = [randomBytes(first), randomBytes(second)];
      const sum = new Crc32Shift(second).append(crc32(a), crc32(b));
      expect(sum).toBe(crc32(Buffer.concat([a, b])));
    }),
  );
});

test('every bit of the first checksum counts', () => {
  const piece = randomBytes(4096);
  const shift = new Crc32Shift(piece.length);
  for (let bit = 0; bit < 32; bit++) expect(shift.append(2 ** bit, crc32(piece))).toBe(crc32(piece, 2 ** bit));
});
