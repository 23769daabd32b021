import { randomBytes } from 'node:crypto';
import { crc32 as crc32OfZlib, deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { adler32, type ChecksumEngine, checksumEngine, crc32 } from '../src/index.ts';

/** zlib's own Adler-32: the last four bytes of a deflated stream. */
function adler32OfZlib(bytes: Uint8Array): number {
  return deflateSync(bytes, { level: 1 }).subarray(-4).readUInt32BE();
}

/** The sums of bytes that come in pieces, cut at these places. */
function sums(engine: ChecksumEngine, bytes: Uint8Array, cuts: readonly number[]): { crc: number; adler: number } {
  let [crc, adler, from] = [engine.crc32(bytes.subarray(0, 0)), engine.adler32(bytes.subarray(0, 0)), 0];
  for (const cut of [...[...cuts].sort((a, b) => a - b), bytes.length]) {
    const piece = bytes.subarray(from, cut);
    [crc, adler] = [engine.crc32(piece, crc), engine.adler32(piece, adler)];
    from = Math.max(from, cut);
  }
  return { crc, adler };
}

for (const name of ['libdeflate', 'zlib'] as const) {
  describe(name, () => {
    const engine = checksumEngine({ engine: name });

    test('is what was asked for', () => {
      expect(engine.name).toBe(name);
    });

    test('equals zlib for any content, cut anywhere, in memory of any kind', () => {
      const property = fc.property(
        fc.nat(600_000),
        fc.array(fc.nat(600_000), { maxLength: 4 }),
        fc.nat(70),
        fc.boolean(),
        fc.boolean(),
        (length, cuts, at, ones, shared) => {
          const content = ones ? Buffer.alloc(length, 0xff) : randomBytes(length);
          const memory = new Uint8Array(shared ? new SharedArrayBuffer(at + length) : new ArrayBuffer(at + length));
          const bytes = memory.subarray(at);
          bytes.set(content);
          const wanted = { crc: crc32OfZlib(content), adler: adler32OfZlib(content) };
          expect(sums(engine, bytes, cuts)).toEqual(wanted);
        },
      );
      fc.assert(property, { numRuns: 60 });
    });

    test('the longest run of the largest bytes does not overflow', () => {
      const bytes = Buffer.alloc(3 * 1024 * 1024, 0xff);
      expect(sums(engine, bytes, [])).toEqual({ crc: crc32OfZlib(bytes), adler: adler32OfZlib(bytes) });
    });

    test('of no bytes the value stays', () => {
      expect(sums(engine, new Uint8Array(0), [0, 0])).toEqual({ crc: 0, adler: 1 });
      expect(engine.crc32(new Uint8Array(0), 0xdeadbeef)).toBe(0xdeadbeef);
      expect(engine.adler32(new Uint8Array(0), 0xfff00000)).toBe(0xfff00000);
    });

    test('the check values of the algorithms', () => {
      const digits = Buffer.from('123456789', 'latin1');
      expect(engine.crc32(digits)).toBe(0xcbf43926);
      expect(engine.adler32(digits)).toBe(0x091e01de);
    });
  });
}

test('without a name the machine’s best engine is taken', () => {
  expect(checksumEngine().name).toBe('libdeflate');
  const bytes = randomBytes(1000);
  expect([crc32(bytes), adler32(bytes)]).toEqual([crc32OfZlib(bytes), adler32OfZlib(bytes)]);
});
