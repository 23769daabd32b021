import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { requires, type TempFolder, tempFolder } from '@virtnbd/test-kit';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { check, dataRanges, GIB, KIB, MIB, makeImage, type Range, run } from './support.ts';

let folder: TempFolder;
beforeAll(async () => {
  folder = await tempFolder();
});
afterAll(() => folder.remove());

const place = (name: string): string => join(folder.path, name);

/** What an image looks like, and what its disk holds: ranges in units of 512 bytes. */
interface Sample {
  readonly options: readonly string[];
  readonly sectors: number;
  readonly ranges: readonly (readonly [gap: number, length: number])[];
}

const SECTOR = 512;
const MAX_SECTORS = 4096;

const kind: fc.Arbitrary<readonly string[]> = fc.oneof(
  fc.record({ bits: fc.integer({ min: 9, max: 21 }) }).map(({ bits }) => ['compat=0.10', `cluster_size=${2 ** bits}`]),
  fc
    .record({ bits: fc.integer({ min: 9, max: 21 }), order: fc.nat(6), lazy: fc.boolean(), zstd: fc.boolean() })
    .map(({ bits, order, lazy, zstd }) => [
      `cluster_size=${2 ** bits}`,
      `refcount_bits=${2 ** order}`,
      `lazy_refcounts=${lazy ? 'on' : 'off'}`,
      `compression_type=${zstd ? 'zstd' : 'zlib'}`,
    ]),
  fc
    .record({ bits: fc.integer({ min: 14, max: 21 }), order: fc.nat(6) })
    .map(({ bits, order }) => ['extended_l2=on', `cluster_size=${2 ** bits}`, `refcount_bits=${2 ** order}`]),
);

const sample: fc.Arbitrary<Sample> = fc.record({
  options: kind,
  sectors: fc.integer({ min: 1, max: MAX_SECTORS }),
  ranges: fc.array(fc.tuple(fc.nat(300), fc.integer({ min: 1, max: 200 })), { maxLength: 30 }),
});

function rangesOf({ sectors, ranges }: Sample): Range[] {
  const found: Range[] = [];
  let at = 0;
  for (const [gap, length] of ranges) {
    const end = Math.min(at + gap + length, sectors);
    if (at + gap < end) found.push({ start: (at + gap) * SECTOR, length: (end - at - gap) * SECTOR });
    at = end;
  }
  return found;
}

function bytesOf({ sectors }: Sample, ranges: readonly Range[]): Buffer {
  const bytes = Buffer.alloc(sectors * SECTOR);
  for (const [number, { start, length }] of ranges.entries()) bytes.fill(1 + (number % 255), start, start + length);
  return bytes;
}

/** The units that hold any of the ranges, neighbours as one. */
function occupied(ranges: readonly Range[], unit: number, size: number): Range[] {
  const found: { start: number; length: number }[] = [];
  for (const { start, length } of ranges) {
    const from = start - (start % unit);
    const end = Math.min(Math.ceil((start + length) / unit) * unit, size);
    const last = found.at(-1);
    if (last !== undefined && from <= last.start + last.length) last.length = end - last.start;
    else found.push({ start: from, length: end - from });
  }
  return found;
}

describe.skipIf(requires('qemu-img', 'qemu-io').skip)('an image', () => {
  test('of any kind is sound, holds the disk and no more, and qemu goes on writing it', async () => {
    await fc.assert(
      fc.asyncProperty(sample, fc.nat(MAX_SECTORS - 1), async (given, written) => {
        const [image, raw] = [place('image.qcow2'), place('model.raw')];
        const ranges = rangesOf(given);
        const model = bytesOf(given, ranges);
        const layout = await makeImage(image, model.length, given.options, ranges, (start, length) =>
          model.subarray(start, start + length),
        );
        await writeFile(raw, model);
        expect(await check(image)).toEqual({ 'check-errors': 0, 'image-end-offset': layout.fileBytes });
        await run('qemu-img', 'compare', '-f', 'qcow2', '-F', 'raw', image, raw);
        expect(await dataRanges(image)).toEqual(occupied(ranges, layout.unit, model.length));

        const at = written % given.sectors;
        const command = `write -P 255 ${at * SECTOR} ${Math.min(64, given.sectors - at) * SECTOR}`;
        for (const [format, path] of Object.entries({ qcow2: image, raw }))
          await run('qemu-io', '-f', format, '-c', command, path);
        expect(await check(image)).not.toHaveProperty('leaks');
        await run('qemu-img', 'compare', '-f', 'qcow2', '-F', 'raw', image, raw);
      }),
      { numRuns: 40 },
    );
  });

  test.each([
    ['small clusters, whose refcounts need a table of many clusters', ['cluster_size=512'], 256 * MIB, MIB],
    ['refcounts of one bit', ['cluster_size=512', 'refcount_bits=1'], 64 * MIB, MIB],
    ['refcounts of 64 bits', ['cluster_size=512', 'refcount_bits=64'], 64 * MIB, MIB],
    ['clusters of 2 MiB', ['cluster_size=2M'], 16 * GIB, 64 * MIB],
    ['subclusters', ['extended_l2=on', 'cluster_size=16k'], 16 * GIB, 64 * MIB],
  ])('with %s holds a disk that is full', async (_, options, size, step) => {
    const ranges = Array.from({ length: size / step }, (__, number) => ({ start: number * step, length: step }));
    const image = place('full.qcow2');
    const layout = await makeImage(image, size, options, ranges);
    expect(await check(image)).toEqual({ 'check-errors': 0, 'image-end-offset': layout.fileBytes });
    expect(await dataRanges(image)).toEqual([{ start: 0, length: size }]);
  });

  test('of 16 TiB holds what is scattered over it', async () => {
    const step = 160 * MIB;
    const ranges = Array.from({ length: 100_000 }, (_, number) => ({ start: number * step + 4 * KIB, length: 512 }));
    const image = place('scattered.qcow2');
    const size = 16 * 1024 * GIB;
    const layout = await makeImage(image, size, ['cluster_size=1M'], ranges);
    expect(await check(image)).toEqual({ 'check-errors': 0, 'image-end-offset': layout.fileBytes });
    const found = await dataRanges(image);
    expect(found).toHaveLength(ranges.length);
    expect(found.at(-1)).toEqual({ start: 99_999 * step, length: MIB });
  });

  test.each([0, 1, 511, 1_000_001])('of a disk of %i bytes, as qemu rounds it, is sound', async (size) => {
    const image = place('odd.qcow2');
    const rounded = Math.ceil(size / SECTOR) * SECTOR;
    const bytes = Buffer.alloc(rounded, 7);
    const layout = await makeImage(image, size, [], [{ start: 0, length: rounded }], (start, length) =>
      bytes.subarray(start, start + length),
    );
    expect(layout.header.size).toBe(rounded);
    expect(await check(image)).toEqual({ 'check-errors': 0, 'image-end-offset': layout.fileBytes });
    await writeFile(place('odd.raw'), bytes);
    await run('qemu-img', 'compare', '-f', 'qcow2', '-F', 'raw', image, place('odd.raw'));
  });
});
