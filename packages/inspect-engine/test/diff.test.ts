import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BackupSet } from '@virtnbd/backup-set';
import { type FrameSpec, fixtures, host, KIB, MIB, makePoint, wholeDisk } from '@virtnbd/sample-sets';
import { type Random, withSeed } from '@virtnbd/test-kit';
import { VirtualDisk } from '@virtnbd/virtual-disk';
import { describe, expect, test } from 'vitest';
import { diffPoints } from '../src/index.ts';
import { copyOfFixture, tempFolder } from './temp.ts';

async function contentOf(folder: string, disk: string, point: string): Promise<Buffer> {
  const set = await BackupSet.open(host, folder);
  await using opened = await set.openLayers(disk, point);
  if (opened.kind === 'raw') return await readFile(join(folder, opened.image.name));
  const virtual = VirtualDisk.fromLayers(opened.layers);
  const bytes = Buffer.alloc(virtual.size);
  await virtual.read(0, bytes);
  return bytes;
}

/** Blocks of 4 KiB that really differ. */
function differing(a: Buffer, b: Buffer): Set<number> {
  const blocks = new Set<number>();
  for (let block = 0; block * 4096 < Math.max(a.length, b.length); block++) {
    const range = [block * 4096, (block + 1) * 4096] as const;
    if (!a.subarray(...range).equals(b.subarray(...range))) blocks.add(block);
  }
  return blocks;
}

function blocksOf(ranges: Iterable<{ start: number; length: number }>): Set<number> {
  const blocks = new Set<number>();
  for (const { start, length } of ranges)
    for (let block = Math.floor(start / 4096); block * 4096 < start + length; block++) blocks.add(block);
  return blocks;
}

test.each(['plain-full-inc-inc-diff', 'lz4-with-zeroed-ranges', 'lost-bitmap-inc-is-full', 'offline-diff'])(
  '%s: content differs exactly where it differs, and only where headers say that it may',
  async (name) => {
    const folder = join(fixtures, name);
    const { points } = await BackupSet.open(host, folder);
    for (const a of points) {
      for (const b of points) {
        const expected = differing(await contentOf(folder, 'vda', a.id), await contentOf(folder, 'vda', b.id));
        const [headers] = (await diffPoints(host, folder, a.id, b.id)).disks;
        const [content] = (await diffPoints(host, folder, a.id, b.id, { content: true })).disks;
        expect(blocksOf(content?.ranges ?? [])).toEqual(expected);
        const may = blocksOf(headers?.ranges ?? []);
        expect([...expected].filter((block) => !may.has(block))).toEqual([]);
      }
    }
  },
);

test('random chains: equal where headers say so, and content finds every block', async () => {
  await withSeed(async (random: Random) => {
    const folder = await tempFolder();
    const virtualSize = MIB;
    await makePoint(folder, { number: 0, disks: [{ virtualSize, frames: wholeDisk(virtualSize, MIB / 2, 1) }] });
    for (let number = 1; number <= 4; number++) {
      const frames: FrameSpec[] = [];
      for (let start = 0; start < virtualSize; start += 32 * KIB) {
        if (random.boolean(0.2))
          frames.push({ start, length: 4 * KIB * random.integer(1, 8), fill: random.integer(0, 3) });
        else if (random.boolean(0.1)) frames.push({ start, length: 32 * KIB, zero: true });
      }
      await makePoint(folder, { number, disks: [{ virtualSize, frames }] });
    }
    const [from, to] = [random.integer(0, 4), random.integer(0, 4)].map((number) => `virtnbdbackup.${number}`);
    const expected = differing(await contentOf(folder, 'vda', from ?? ''), await contentOf(folder, 'vda', to ?? ''));
    const headers = (await diffPoints(host, folder, from ?? '', to ?? '')).disks[0];
    const content = (await diffPoints(host, folder, from ?? '', to ?? '', { content: true })).disks[0];
    expect(blocksOf(content?.ranges ?? [])).toEqual(expected);
    expect(content?.bytes).toBe(expected.size * 4096);
    for (const block of expected) expect(blocksOf(headers?.ranges ?? []).has(block)).toBe(true);
  });
});

describe('by headers', () => {
  test('a point does not differ from itself', async () => {
    const { disks } = await diffPoints(host, join(fixtures, 'plain-full-inc-inc-diff'), 'latest', 'latest');
    expect(disks).toMatchObject([{ disk: 'vda', in: 'both', bytes: 0, rangeCount: 0 }]);
  });

  test('a range that was zeroed is told', async () => {
    const folder = await tempFolder();
    const virtualSize = MIB;
    await makePoint(folder, { number: 0, disks: [{ virtualSize, frames: wholeDisk(virtualSize, MIB / 2, 1) }] });
    const frames: FrameSpec[] = [{ start: 0, length: 64 * KIB, zero: true }];
    await makePoint(folder, { number: 1, disks: [{ virtualSize, frames }] });
    const { disks } = await diffPoints(host, folder, 'virtnbdbackup.0', 'virtnbdbackup.1');
    expect(disks).toMatchObject([{ bytes: 64 * KIB, zeroedBytes: 64 * KIB }]);
  });

  test('what a larger disk has more differs, and is read on neither side', async () => {
    const folder = await tempFolder();
    await makePoint(folder, { number: 0, disks: [{ virtualSize: MIB, frames: wholeDisk(MIB, 4 * KIB, 1) }] });
    await makePoint(folder, { number: 1, disks: [{ virtualSize: 2 * MIB, frames: [] }] });
    for (const content of [false, true]) {
      const { disks } = await diffPoints(host, folder, 'virtnbdbackup.0', 'virtnbdbackup.1', { content });
      expect([...(disks[0]?.ranges ?? [])]).toEqual([{ start: MIB, length: MIB }]);
    }
  });

  test('a disk of one point only is said to be so, and a name that matches no disk is an error', async () => {
    const folder = await tempFolder();
    const disk = (name: string) => ({ disk: name, virtualSize: MIB, frames: wholeDisk(MIB, 4 * KIB, 1) });
    await makePoint(folder, { number: 0, disks: [disk('vda')] });
    await makePoint(folder, {
      number: 1,
      disks: [
        { ...disk('vda'), base: true },
        { ...disk('vdb'), base: true },
      ],
    });
    const { disks } = await diffPoints(host, folder, 'virtnbdbackup.0', 'virtnbdbackup.1');
    expect(disks.map((each) => [each.disk, each.in])).toEqual([
      ['vda', 'both'],
      ['vdb', 'to'],
    ]);
    const wrong = diffPoints(host, folder, 'virtnbdbackup.0', 'virtnbdbackup.1', { disk: 'vd' });
    await expect(wrong).rejects.toMatchObject({ code: 'UNKNOWN_DISK' });
  });

  test('a raw image may differ everywhere from a stream of it', async () => {
    const { disks } = await diffPoints(host, join(fixtures, 'two-disks-one-raw'), 'latest', 'latest', { disk: 'vdaa' });
    expect(disks).toMatchObject([{ disk: 'vdaa', bytes: 0 }]);
  });
});

test('content of a damaged file is refused', async () => {
  const folder = await copyOfFixture('plain-full-inc-inc-diff');
  const path = join(folder, 'vda.full.data');
  const bytes = await readFile(path);
  bytes[2000] = (bytes[2000] ?? 0) ^ 1;
  await host.files.writeAtomic(path, bytes);
  const diff = diffPoints(host, folder, 'virtnbdbackup.0', 'latest', { content: true });
  await expect(diff).rejects.toMatchObject({ code: 'CHECKSUM' });
});
