import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { writeFully } from '../src/write-fully.ts';

/** A system that takes as many bytes a call as `sizes` says, in turn. */
function target(sizes: readonly number[]) {
  const written: number[] = [];
  const positions: (number | null)[] = [];
  let call = 0;
  const writeSome = async (chunks: Uint8Array[], position: number | null) => {
    const bytes = Buffer.concat(chunks);
    const taken = Math.min(bytes.length, sizes[call++ % sizes.length] ?? 1);
    expect(chunks.length).toBeLessThanOrEqual(1024);
    positions.push(position);
    written.push(...bytes.subarray(0, taken));
    return taken;
  };
  return { written, positions, writeSome };
}

describe('writeFully', () => {
  test('writes every byte once and in order, however short the writes are', async () => {
    const chunks = fc.array(fc.uint8Array({ maxLength: 9 }), { maxLength: 9 });
    const sizes = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(chunks, sizes, async (input, short) => {
        const { written, positions, writeSome } = target(short);
        await writeFully(writeSome, input, 100);
        expect(written).toEqual([...Buffer.concat(input)]);
        expect(positions[0] ?? 100).toBe(100);
      }),
    );
  });

  test('goes on at the position after the bytes that were written', async () => {
    const { positions, writeSome } = target([3, 1, 2]);
    await writeFully(writeSome, [new Uint8Array(4), new Uint8Array(3)], 10);
    expect(positions).toEqual([10, 13, 14, 16]);
  });

  test('hands over no more than 1024 pieces a call', async () => {
    const { written, writeSome } = target([1e9]);
    await writeFully(
      writeSome,
      Array.from({ length: 3000 }, (_, i) => Uint8Array.of(i & 255)),
      null,
    );
    expect(written.length).toBe(3000);
  });

  test('does not go round for ever when nothing is written', async () => {
    await expect(writeFully(async () => 0, [new Uint8Array(1)], 0)).rejects.toThrow('wrote nothing');
  });
});
