import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VirtualDisk } from '../src/index.ts';
import { type Frame, type LayerSpec, modelOf, openLayer } from './chains.ts';

const layer = fc
  .record({
    size: fc.integer({ min: 1, max: 400 }),
    parts: fc.array(fc.tuple(fc.nat(30), fc.integer({ min: 1, max: 40 }), fc.nat(3)), { maxLength: 12 }),
    compressed: fc.boolean(),
    incremental: fc.integer({ min: 0, max: 9 }).map((number) => number > 0),
  })
  .map(({ size, parts, compressed, incremental }): LayerSpec => {
    const frames: Frame[] = [];
    let position = 0;
    for (const [gap, length, kind] of parts) {
      const start = position + gap;
      if (start + length > size) break;
      frames.push({ start, length, fill: kind === 0 ? 0 : 1 + ((start * 7 + length + kind * 50) % 255) });
      position = start + length;
    }
    return { size, frames, compressed, incremental };
  });

/** A chain whose first layer is the base. */
const chain = fc
  .array(layer, { minLength: 1, maxLength: 9 })
  .map((layers) => layers.map((spec, number) => (number === 0 ? { ...spec, incremental: false } : spec)));

async function openChain(specs: readonly LayerSpec[]): Promise<VirtualDisk> {
  return VirtualDisk.fromLayers(await Promise.all(specs.map((spec, number) => openLayer(spec, `layer ${number}`))));
}

describe('VirtualDisk', () => {
  test('any read of any chain gives the bytes of the naive model', async () => {
    await fc.assert(
      fc.asyncProperty(chain, fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 8 }), async (specs, ranges) => {
        const disk = await openChain(specs);
        const model = modelOf(specs);
        expect(disk.size).toBe(model.length);
        for (const [a, b] of [...ranges, [0, model.length] as const]) {
          const offset = a % (model.length + 1);
          const buffer = new Uint8Array(b % (model.length - offset + 1)).fill(0xee);
          await disk.read(offset, buffer);
          expect(buffer).toEqual(model.slice(offset, offset + buffer.length));
        }
      }),
      { numRuns: 300 },
    );
  });

  test('the extents of a range are those that touch it', async () => {
    await fc.assert(
      fc.asyncProperty(chain, fc.nat(), fc.nat(), async (specs, a, b) => {
        const disk = await openChain(specs);
        const offset = a % disk.size;
        const length = 1 + (b % (disk.size - offset));
        const touching = [...disk.extents()].filter(
          (extent) => extent.start < offset + length && extent.start + extent.length > offset,
        );
        expect([...disk.extents(offset, length)]).toEqual(touching);
      }),
      { numRuns: 300 },
    );
  });

  test('the extents cover the disk in order, without gaps, and say what the model holds', async () => {
    await fc.assert(
      fc.asyncProperty(chain, async (specs) => {
        const disk = await openChain(specs);
        const model = modelOf(specs);
        let position = 0;
        let dataBytes = 0;
        for (const { start, length, kind, layer, frame } of disk.extents()) {
          expect(start).toBe(position);
          expect(length).toBeGreaterThan(0);
          const source = specs[layer]?.frames[frame];
          const fill = source?.fill ?? 0;
          expect(kind).toBe(fill === 0 ? 'zero' : 'data');
          expect(layer === -1).toBe(frame === -1);
          expect(model.slice(start, start + length).every((byte) => byte === fill)).toBe(true);
          if (kind === 'data') dataBytes += length;
          position += length;
        }
        expect(position).toBe(disk.size);
        expect(dataBytes).toBe(disk.dataBytes);
      }),
      { numRuns: 300 },
    );
  });

  test('a zero frame hides older data', async () => {
    const disk = await openChain([
      { size: 100, frames: [{ start: 0, length: 100, fill: 7 }], compressed: false, incremental: false },
      { size: 100, frames: [{ start: 20, length: 30, fill: 0 }], compressed: false, incremental: true },
    ]);
    expect([...disk.extents()]).toEqual([
      { start: 0, length: 20, kind: 'data', layer: 0, frame: 0 },
      { start: 20, length: 30, kind: 'zero', layer: 1, frame: 0 },
      { start: 50, length: 50, kind: 'data', layer: 0, frame: 0 },
    ]);
    expect(disk.dataBytes).toBe(70);
  });

  test('a disk that shrank and grew again has zeroes where it was cut off', async () => {
    const full = { start: 0, length: 100, fill: 7 };
    const disk = await openChain([
      { size: 100, frames: [full], compressed: false, incremental: false },
      { size: 40, frames: [], compressed: false, incremental: true },
      { size: 120, frames: [], compressed: false, incremental: true },
    ]);
    expect([...disk.extents()]).toEqual([
      { start: 0, length: 40, kind: 'data', layer: 0, frame: 0 },
      { start: 40, length: 80, kind: 'zero', layer: -1, frame: -1 },
    ]);
  });

  test('a whole backup in mid-chain hides everything below, also where it holds nothing', async () => {
    const disk = await openChain([
      { size: 100, frames: [{ start: 0, length: 100, fill: 7 }], compressed: false, incremental: false },
      { size: 100, frames: [{ start: 10, length: 10, fill: 9 }], compressed: false, incremental: false },
    ]);
    expect(disk.dataBytes).toBe(10);
  });

  test('a read past the end is refused', async () => {
    const disk = await openChain([{ size: 100, frames: [], compressed: false, incremental: false }]);
    for (const [offset, length] of [
      [99, 2],
      [-1, 1],
      [0.5, 1],
      [101, 0],
    ] as const) {
      await expect(disk.read(offset, new Uint8Array(length))).rejects.toMatchObject({ code: 'OUT_OF_RANGE', offset });
    }
  });

  test('a read ends with the reason of the signal', async () => {
    const disk = await openChain([{ size: 100, frames: [], compressed: false, incremental: false }]);
    const reason = new Error('enough');
    await expect(disk.read(0, new Uint8Array(1), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  test('no layers is refused', () => {
    expect(() => VirtualDisk.fromLayers([])).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });
});
