import fc from 'fast-check';
import { expect, test } from 'vitest';
import { widen } from '../src/alignment.ts';

test('a widened read asks for whole blocks, gives back each byte once, and copies only partial blocks', () => {
  const blocks = fc.constantFrom(1, 2, 8, 512);
  fc.assert(
    fc.property(blocks, fc.nat(5000), fc.nat(5000), fc.nat(5000), (minimum, size, a, b) => {
      const offset = Math.min(a, b, size);
      const length = Math.min(Math.max(a, b), size) - offset;
      const parts = widen(offset, length, minimum, size);
      let at = 0;
      for (const part of parts) {
        expect(part.at).toBe(at);
        expect(part.offset % minimum).toBe(0);
        expect(part.length % minimum === 0 || part.offset + part.length === size).toBe(true);
        expect(part.offset + part.skip).toBe(offset + part.at);
        expect(part.skip + part.take).toBeLessThanOrEqual(part.length);
        expect(part.take).toBeGreaterThan(0);
        at += part.take;
      }
      expect(at).toBe(length);
      expect(parts.filter((part) => part.take < part.length).length).toBeLessThanOrEqual(2);
    }),
  );
});
