import { join } from 'node:path';
import { BackupSet } from '@virtnbd/backup-set';
import { type FrameSpec, host, KIB, makePoint } from '@virtnbd/sample-sets';
import { requires } from '@virtnbd/test-kit';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openContent } from '../src/source/content.ts';
import { bytesOf, Place } from './support.ts';

const BLOCK = 4 * KIB;

/** What happens to a disk between two points, and how the later one is saved. */
interface Step {
  readonly level: 'inc' | 'diff' | 'base';
  /** Blocks that the disk has from now on. */
  readonly blocks: number;
  /** By block, modulo their number: a byte for data, 0 for zeroes or a discard. */
  readonly changes: readonly (readonly [block: number, fill: number])[];
  readonly compressed: boolean;
}

const step: fc.Arbitrary<Step> = fc.record({
  level: fc.constantFrom('inc' as const, 'inc' as const, 'diff' as const, 'base' as const),
  blocks: fc.integer({ min: 1, max: 24 }),
  changes: fc.array(fc.tuple(fc.nat(23), fc.constantFrom(0, 0, 1, 2, 3, 255)), { maxLength: 12 }),
  compressed: fc.boolean(),
});

const history = fc.array(step, { minLength: 1, maxLength: 6 });

/** Makes the points of a history, the first of them a full. Returns what each must give back. */
async function makeHistory(folder: string, steps: readonly Step[]): Promise<Map<string, Buffer>> {
  const expected = new Map<string, Buffer>();
  let saved = Buffer.alloc(0); // what the disk held at the last point that others build upon
  let disk = Buffer.alloc(0);
  let number = -1;
  for (const [index, { blocks, changes, compressed, ...rest }] of steps.entries()) {
    const level = index === 0 ? 'base' : rest.level;
    const size = blocks * BLOCK;
    const next = Buffer.alloc(size);
    disk.copy(next);
    const dirty = new Set<number>();
    for (const [block, fill] of changes) {
      next.fill(fill, (block % blocks) * BLOCK, (block % blocks) * BLOCK + BLOCK);
      dirty.add(block % blocks);
    }
    disk = next;
    // A differential leaves the changes for the next increment to save again.
    for (let block = 0; block < blocks; block++) {
      const [now, before] = [disk, saved].map((bytes) => bytes.subarray(block * BLOCK, block * BLOCK + BLOCK));
      if (before?.length === 0 ? now?.some((byte) => byte !== 0) : before?.compare(now ?? before) !== 0)
        dirty.add(block);
    }
    const base = level === 'base';
    const wanted = base ? Array.from({ length: blocks }, (_, block) => block) : [...dirty].sort((a, b) => a - b);
    const frames = wanted.map((block) => frameOf(disk, block));
    const name = level === 'diff' ? String(1_800_000_000 + index) : `virtnbdbackup.${++number}`;
    await makePoint(folder, {
      number,
      ...(level === 'diff' && { diff: name }),
      disks: [
        {
          virtualSize: size,
          frames,
          base,
          imageName: 'disk.qcow2',
          ...(compressed && { compression: 'lz4' as const }),
        },
      ],
    });
    expected.set(name, disk);
    if (level !== 'diff') saved = disk;
  }
  return expected;
}

function frameOf(disk: Buffer, block: number): FrameSpec {
  const bytes = disk.subarray(block * BLOCK, block * BLOCK + BLOCK);
  const where = { start: block * BLOCK, length: BLOCK };
  return bytes.every((byte) => byte === 0) ? { ...where, zero: true } : { ...where, fill: bytes };
}

describe('every point of a random history', () => {
  test('is planned as it was', async () => {
    await fc.assert(
      fc.asyncProperty(history, async (steps) => {
        await using place = await Place.make();
        const expected = await makeHistory(place.backup, steps);
        const set = await BackupSet.open(host, place.backup);
        for (const [point, bytes] of expected) {
          await using opened = await openContent(() => set.openLayers('vda', point));
          const { content } = opened;
          const found = Buffer.alloc(content.size);
          for (const { start, length, kind } of content.extents()) {
            if (kind === 'data') await content.read(start, found.subarray(start, start + length));
          }
          expect(found.equals(bytes), point).toBe(true);
        }
      }),
      { numRuns: 60 },
    );
  });

  test.skipIf(requires('qemu-img', 'qemu-nbd').skip)(
    'is restored as it was, to a new image and onto another point’s',
    async () => {
      await fc.assert(
        fc.asyncProperty(history, fc.constantFrom('qcow2' as const, 'raw' as const), async (steps, format) => {
          await using place = await Place.make();
          const expected = await makeHistory(place.backup, steps);
          const image = join(place.target, `disk.${format}`);
          for (const [point, bytes] of expected) {
            // The image of the point before is there from the second on.
            const onto = (await host.files.stat(image)) !== null;
            await place.restore({ point, format, verify: true, ...(onto && { onto: new Map([['vda', image]]) }) });
            expect((await bytesOf(image, format)).equals(bytes), point).toBe(true);
            if (onto) continue;
            if (format === 'raw') expect((await host.files.stat(image))?.size).toBe(bytes.length);
          }
        }),
        { numRuns: 6 },
      );
    },
  );
});
