import { cp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fixtures, KIB, MIB, makePoint, wholeDisk } from '@virtnbd/sample-sets';
import { requires } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { bytesOf, Place } from './support.ts';

const SIZE = 8 * MIB;
const CHUNK = 64 * KIB;
const INC1 = 'vda.inc.virtnbdbackup.1.data';
const INC2 = 'vda.inc.virtnbdbackup.2.data';

/** A full; an increment at 1 MiB, 1 MiB long; an increment at 1.5 MiB, 1 MiB long, and elsewhere. */
async function threePoints(compression?: 'lz4'): Promise<Place> {
  const place = await Place.make();
  const common = { virtualSize: SIZE, ...(compression !== undefined && { compression }) };
  const point = { chunkSize: CHUNK };
  await makePoint(place.backup, {
    ...point,
    number: 0,
    disks: [{ ...common, frames: wholeDisk(SIZE, 3 * MIB, 0x10) }],
  });
  const first = [{ start: MIB, length: MIB, fill: noise(MIB, 1) }];
  await makePoint(place.backup, { ...point, number: 1, disks: [{ ...common, frames: first }] });
  const second = [
    { start: 1.5 * MIB, length: MIB, fill: noise(MIB, 2) },
    { start: 6 * MIB, length: MIB, fill: noise(MIB, 3) },
  ];
  await makePoint(place.backup, { ...point, number: 2, disks: [{ ...common, frames: second }] });
  return place;
}

/** Bytes that cannot be compressed, the same for the same seed. */
function noise(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed;
  for (let i = 0; i < length; i += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes.writeUInt32LE(state, i);
  }
  return bytes;
}

/** What the disk held at the newest point. */
function newest(): Buffer {
  const bytes = Buffer.alloc(SIZE).fill(0x10, 0, 3 * MIB);
  noise(MIB, 1).copy(bytes, MIB);
  noise(MIB, 2).copy(bytes, 1.5 * MIB);
  noise(MIB, 3).copy(bytes, 6 * MIB);
  return bytes;
}

async function flip(path: string, offset: number): Promise<void> {
  const bytes = await readFile(path);
  bytes.writeUInt8(bytes.readUInt8(offset) ^ 1, offset);
  await writeFile(path, bytes);
}

describe.skipIf(requires('qemu-img', 'qemu-nbd').skip)('a damaged file', () => {
  test('is named, with the ranges that it spoils and the newest point that is whole; no image is left', async () => {
    await using place = await threePoints();
    await flip(join(place.backup, INC2), 300 * KIB);
    await expect(place.restore()).rejects.toMatchObject({
      code: 'DAMAGED',
      message: expect.stringMatching(
        /vda\.inc\.virtnbdbackup\.2\.data.* bytes \d+ to \d+ .*newest other point that is whole is virtnbdbackup\.1:/s,
      ),
    });
    expect(await place.restored()).toEqual([]);
  });

  test('in mid-chain spoils every point above, as far as nothing newer lies over it', async () => {
    await using place = await threePoints();
    await flip(join(place.backup, INC1), 100 * KIB);
    await expect(place.restore()).rejects.toMatchObject({
      message: expect.stringContaining('--until virtnbdbackup.0'),
    });
  });

  test('does no harm where newer data lies over all that is damaged', async () => {
    await using place = await threePoints();
    await flip(join(place.backup, INC1), 900 * KIB); // at about 1.9 MiB of the disk
    await place.restore();
    expect((await bytesOf(join(place.target, 'vda.qcow2'), 'qcow2')).equals(newest())).toBe(true);
    await expect(place.restore({ point: 'virtnbdbackup.1', force: true })).rejects.toMatchObject({
      message: expect.stringContaining('virtnbdbackup.2:'),
    });
  });

  test('of the full spoils all: another copy is what helps', async () => {
    await using place = await threePoints();
    await flip(join(place.backup, 'vda.full.data'), 100 * KIB);
    await expect(place.restore()).rejects.toMatchObject({ message: expect.stringContaining('another copy') });
  });

  test.each([
    ['cut off', async (path: string) => truncate(path, 200 * KIB)],
    ['empty', async (path: string) => truncate(path, 0)],
    ['missing', async (path: string) => rm(path)],
  ])('that is %s is found before anything is made', async (_what, damage) => {
    await using place = await threePoints();
    await damage(join(place.backup, INC2));
    await expect(place.restore()).rejects.toMatchObject({
      code: 'DAMAGED',
      message: expect.stringMatching(/vda\.inc\.virtnbdbackup\.2\.data.*--until virtnbdbackup\.1/s),
    });
    expect(await place.restored()).toEqual([]);
  });

  test('beside the disks is refused, too', async () => {
    await using place = await threePoints();
    await writeFile(join(place.backup, 'vmconfig.virtnbdbackup.2.xml'), '<changed/>');
    await expect(place.restore()).rejects.toMatchObject({
      message: expect.stringContaining('vmconfig.virtnbdbackup.2'),
    });
  });

  test('of the established tool is told by its checksum', async () => {
    await using place = await Place.make();
    const folder = join(place.backup, 'theirs');
    await cp(join(fixtures, 'plain-full-inc-inc-diff'), folder, { recursive: true });
    await flip(join(folder, INC1), 1000);
    await expect(place.restore({ folder })).rejects.toMatchObject({
      message: expect.stringMatching(/chksum.*--until virtnbdbackup\.0/s),
    });
  });
});

describe.skipIf(requires('qemu-img', 'qemu-nbd').skip)('--salvage', () => {
  /** Restores what is good, and compares all but the holes with what the disk held. */
  async function salvaged(place: Place): Promise<{ start: number; length: number; content: string }[]> {
    const { images } = await place.restore({ salvage: true, verify: true });
    const [image] = images;
    const found = await bytesOf(image?.path ?? '', 'qcow2');
    const expected = newest();
    for (const { start, length } of image?.holes ?? []) {
      found.fill(0, start, start + length);
      expected.fill(0, start, start + length);
    }
    expect(found.equals(expected)).toBe(true);
    return [...(image?.holes ?? [])];
  }

  test('of a sound point is a restore like any other', async () => {
    await using place = await threePoints();
    expect(await salvaged(place)).toEqual([]);
    expect(await place.restored()).not.toContain('vda.qcow2.holes.json');
  });

  test('gives all but the chunk that is damaged, and lists it beside the image', async () => {
    await using place = await threePoints();
    await flip(join(place.backup, INC2), 300 * KIB);
    const holes = await salvaged(place);
    expect(holes).toMatchObject([{ content: 'older', file: INC2 }]);
    expect(holes[0]?.length).toBeLessThanOrEqual(CHUNK);
    const listed = JSON.parse(await readFile(join(place.target, 'vda.qcow2.holes.json'), 'utf8'));
    expect(listed).toMatchObject({ format: 'virtnbd-holes', disk: 'vda', holes });
  });

  test('gives zeroes where the full is damaged and nothing lies over it', async () => {
    await using place = await threePoints();
    await flip(join(place.backup, 'vda.full.data'), 100 * KIB);
    expect(await salvaged(place)).toMatchObject([{ content: 'zero' }]);
  });

  test('of a compressed point loses the frame that is damaged', async () => {
    await using place = await threePoints('lz4');
    await flip(join(place.backup, INC2), 300 * KIB);
    expect(await salvaged(place)).toMatchObject([{ start: 1.5 * MIB, length: MIB, content: 'older' }]);
  });

  test.each([
    ['cut off', async (path: string) => truncate(path, 200 * KIB)],
    ['empty', async (path: string) => truncate(path, 0)],
    ['missing', async (path: string) => rm(path)],
  ])('of a point whose increment is %s gives what the points before held', async (_what, damage) => {
    await using place = await threePoints();
    await damage(join(place.backup, INC2));
    const holes = await salvaged(place);
    expect(holes.every(({ content }) => content === 'older')).toBe(true);
  });

  test('tells of every byte of a file that is damaged nobody knows where', async () => {
    await using place = await Place.make();
    const folder = join(place.backup, 'theirs');
    await cp(join(fixtures, 'plain-full-inc-inc-diff'), folder, { recursive: true });
    await flip(join(folder, 'vda.full.data'), 1000);
    const { images } = await place.restore({ folder, point: 'virtnbdbackup.0', salvage: true });
    expect(images[0]?.holes).toMatchObject([{ start: 0, length: 16 * MIB, content: 'unproven' }]);
  });

  test('leaves out what is damaged beside the disks, and says so', async () => {
    await using place = await threePoints();
    await writeFile(join(place.backup, 'vmconfig.virtnbdbackup.2.xml'), '<changed/>');
    const { leftOut } = await place.restore({ salvage: true });
    expect(leftOut).toMatchObject([expect.stringContaining('vmconfig.virtnbdbackup.2.xml')]);
    expect(await place.restored()).toEqual(['vda.qcow2']);
  });
});
