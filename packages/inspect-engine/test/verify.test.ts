import { readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BackupSet } from '@virtnbd/backup-set';
import { type FrameSpec, fixtures, host, KIB, MIB, makePoint } from '@virtnbd/sample-sets';
import { Adler32 } from '@virtnbd/stream-format';
import { Random, withSeed } from '@virtnbd/test-kit';
import { VirtualDisk } from '@virtnbd/virtual-disk';
import { describe, expect, test } from 'vitest';
import { describeFile, verifyFolder } from '../src/index.ts';
import { copyOfFixture, tempFolder } from './temp.ts';

const SIZE = MIB;

async function flip(path: string, offset: number): Promise<void> {
  const bytes = await readFile(path);
  bytes[offset] = (bytes[offset] ?? 0) ^ 0x10;
  await writeFile(path, bytes);
}

/** Points whose disk cannot be read as it was. */
async function unreadablePoints(folder: string, disk: string, before: ReadonlyMap<string, Buffer>): Promise<string[]> {
  const lost: string[] = [];
  for (const [id, expected] of before) {
    const bytes = await contentOf(folder, disk, id).catch(() => null);
    if (bytes === null) lost.push(id);
    // What can be read is right: checksums see to it.
    else expect(bytes.equals(expected)).toBe(true);
  }
  return lost;
}

async function contentOf(folder: string, disk: string, point: string): Promise<Buffer> {
  const set = await BackupSet.open(host, folder);
  await using opened = await set.openLayers(disk, point);
  if (opened.kind === 'raw') throw new Error('raw');
  const virtual = VirtualDisk.fromLayers(opened.layers);
  const bytes = Buffer.alloc(virtual.size);
  await virtual.read(0, bytes);
  return bytes;
}

/** A full, three increments and a differential, with small chunks so that damage is narrow. */
async function smallChain(compression?: 'lz4'): Promise<string> {
  const folder = await tempFolder();
  const disk = (frames: readonly FrameSpec[]) => [{ virtualSize: SIZE, frames, ...(compression && { compression }) }];
  const chunkSize = 4096;
  const pieces = Array.from(
    { length: 8 },
    (_, i): FrameSpec => ({ start: i * 32 * KIB, length: 32 * KIB, fill: i + 1 }),
  );
  const full: FrameSpec[] = [...pieces, { start: 256 * KIB, length: SIZE - 256 * KIB, zero: true }];
  await makePoint(folder, { number: 0, chunkSize, disks: disk(full) });
  await makePoint(folder, { number: 1, chunkSize, disks: disk([{ start: 32 * KIB, length: 64 * KIB, fill: 9 }]) });
  const second: FrameSpec[] = [
    { start: 64 * KIB, length: 16 * KIB, zero: true },
    { start: 512 * KIB, length: 64 * KIB, fill: 10 },
  ];
  await makePoint(folder, { number: 2, chunkSize, disks: disk(second) });
  const diff = disk([{ start: 0, length: 300 * KIB, fill: 11 }]);
  await makePoint(folder, { number: 2, diff: '1795421522', chunkSize, disks: diff });
  await makePoint(folder, { number: 3, chunkSize, disks: disk([{ start: 0, length: 256 * KIB, fill: 12 }]) });
  return folder;
}

/** Frames so large that headers are read without the data around them, or from elsewhere. */
async function largeChain(compression?: 'lz4'): Promise<string> {
  const folder = await tempFolder();
  const virtualSize = 6 * MIB;
  const noise = new Random(5).bytes(2 * MIB);
  const disk = (frames: readonly FrameSpec[]) => [{ virtualSize, frames, ...(compression && { compression }) }];
  const full = Array.from({ length: 3 }, (_, i): FrameSpec => ({ start: 2 * i * MIB, length: 2 * MIB, fill: noise }));
  await makePoint(folder, { number: 0, disks: disk(full) });
  await makePoint(folder, { number: 1, disks: disk([{ start: MIB, length: 2 * MIB, fill: noise }]) });
  await makePoint(folder, { number: 2, disks: disk([{ start: 0, length: 3 * MIB, zero: true }]) });
  return folder;
}

describe('folders of the established tool', () => {
  test.each([
    ['plain-full-inc-inc-diff', 'ok'],
    ['lz4-with-zeroed-ranges', 'ok'],
    ['lz4-cut-frames', 'ok'],
    ['offline-copy', 'ok'],
    ['offline-diff', 'ok'],
    ['lost-bitmap-inc-is-full', 'ok'],
    ['two-disks-one-raw', 'not-verifiable'],
    ['type-raw-full', 'not-verifiable'],
  ])('%s: %s, also when every frame is decoded', async (name, verdict) => {
    for (const deep of [false, true]) {
      const report = await verifyFolder(host, join(fixtures, name), { deep });
      expect([report.verdict, report.damage]).toEqual([verdict, []]);
    }
  });

  test('without any checksum a point is not verifiable, and says why', async () => {
    const folder = await copyOfFixture('offline-copy');
    await rm(join(folder, 'vda.copy.data.chksum'));
    const { verdict, points } = await verifyFolder(host, folder);
    expect(verdict).toBe('not-verifiable');
    expect(points[0]?.reasons).toEqual([expect.stringContaining('vda.copy.data is not verifiable')]);
  });

  test('a flipped bit spoils the file and all that builds upon it; where is not known', async () => {
    const folder = await copyOfFixture('plain-full-inc-inc-diff');
    await flip(join(folder, 'vda.inc.virtnbdbackup.1.data'), 9000);
    const { verdict, damage, points } = await verifyFolder(host, folder);
    expect(verdict).toBe('damaged');
    expect(damage).toMatchObject([
      {
        file: 'vda.inc.virtnbdbackup.1.data',
        disk: 'vda',
        located: false,
        unusable: true,
        diskBytes: 16 * MIB,
        spoils: ['virtnbdbackup.1', 'virtnbdbackup.2', '1795421522'],
        hidden: [],
      },
    ]);
    expect(points.map(({ verdict: each }) => each)).toEqual(['ok', 'damaged', 'damaged', 'damaged']);
  });

  test('a damaged .chksum is told from a damaged file', async () => {
    const folder = await copyOfFixture('offline-copy');
    await writeFile(join(folder, 'vda.copy.data.chksum'), 'no number');
    const { damage } = await verifyFolder(host, folder);
    expect(damage[0]?.message).toContain('vda.copy.data.chksum');
  });

  test('only decoding shows damage from before the checksum was made, and where', async () => {
    const folder = await copyOfFixture('lz4-with-zeroed-ranges');
    const path = join(folder, 'vda.full.data');
    const { frames } = await describeFile(host, path, { frames: true });
    const frame = [...(frames ?? [])].find(({ kind }) => kind === 'data');
    await flip(path, (frame?.fileOffset ?? 0) + (frame?.storedLength ?? 0) - 6);
    const sum = new Adler32();
    sum.update(await readFile(path));
    await writeFile(`${path}.chksum`, String(sum.value));
    expect((await verifyFolder(host, folder)).verdict).toBe('ok');
    const { verdict, damage } = await verifyFolder(host, folder, { deep: true });
    expect(verdict).toBe('damaged');
    expect(damage).toMatchObject([{ file: 'vda.full.data', located: true, unusable: false }]);
    expect([...(damage[0]?.diskRanges ?? [])]).toEqual([{ start: frame?.start, length: frame?.length }]);
  });
});

describe('folders with manifests', () => {
  test.each([undefined, 'lz4'] as const)('an intact chain is ok (%s)', async (compression) => {
    const folder = await smallChain(compression);
    const report = await verifyFolder(host, folder, { deep: true, jobs: 4 });
    expect(report).toMatchObject({ verdict: 'ok', damage: [], until: null });
    const files = await readdir(folder, { recursive: true });
    const uncovered = files.filter((file) => !report.files.some((each) => each.file === file));
    // Everything but the manifests themselves, the list of checkpoints and folders.
    expect(uncovered.filter((file) => !/manifest\.json$|\.cpt$|^checkpoints$/.test(file))).toEqual([]);
  });

  test.each([
    ['small frames', () => smallChain()],
    ['small frames, compressed', () => smallChain('lz4')],
    ['large frames', () => largeChain()],
    ['large frames, compressed', () => largeChain('lz4')],
  ] as const)(
    'a flipped bit anywhere is found, and exactly the points that it spoils cannot be read: %s',
    async (_name, makeChain) => {
      await withSeed(async (random: Random) => {
        const folder = await makeChain();
        const before = new Map<string, Buffer>();
        for (const { id } of (await BackupSet.open(host, folder)).points)
          before.set(id, await contentOf(folder, 'vda', id));
        const names = (await readdir(folder)).filter((name) => name.endsWith('.data')).sort();
        for (let round = 0; round < 25; round++) {
          const path = join(folder, random.pick(names));
          const intact = await readFile(path);
          await flip(path, random.integer(0, intact.length - 1));
          const { verdict, damage, points } = await verifyFolder(host, folder);
          expect(verdict).toBe('damaged');
          const lost = await unreadablePoints(folder, 'vda', before);
          const spoiled = damage.flatMap(({ spoils }) => spoils);
          expect(new Set(spoiled)).toEqual(new Set(lost));
          expect(points.filter((point) => point.verdict === 'damaged').map(({ id }) => id)).toEqual(lost);
          await writeFile(path, intact);
        }
      });
    },
  );

  test('damage that begins in a payload does not reach into the zero frame after it', async () => {
    const folder = await tempFolder();
    const frames: FrameSpec[] = [
      { start: 0, length: 64 * KIB, fill: 1 },
      { start: 64 * KIB, length: SIZE - 64 * KIB, zero: true },
    ];
    await makePoint(folder, { number: 0, chunkSize: 4096, disks: [{ virtualSize: SIZE, frames }] });
    const path = join(folder, 'vda.full.data');
    // The last chunk holds the end of the payload, the zero frame and the end of the file.
    await flip(path, (await readFile(path)).length - 90);
    const { damage } = await verifyFolder(host, folder);
    expect([...(damage[0]?.diskRanges ?? [])].map(({ start, length }) => start + length)).toEqual([64 * KIB]);
  });

  test('damage under newer data is hidden, and the newer point is ok', async () => {
    const folder = await tempFolder();
    const virtualSize = 8 * MIB;
    // Large frames: headers are read without the data around them.
    const full = Array.from({ length: 4 }, (_, i): FrameSpec => ({ start: 2 * i * MIB, length: 2 * MIB, fill: i + 1 }));
    await makePoint(folder, { number: 0, disks: [{ virtualSize, frames: full }] });
    const newer: FrameSpec[] = [{ start: 2 * MIB, length: 2 * MIB, zero: true }];
    await makePoint(folder, { number: 1, disks: [{ virtualSize, frames: newer }] });
    await makePoint(folder, { number: 2, disks: [{ virtualSize, frames: [] }] });
    const before = new Map([['virtnbdbackup.2', await contentOf(folder, 'vda', 'virtnbdbackup.2')]]);
    await flip(join(folder, 'vda.full.data'), 3 * MIB);
    const { damage, points } = await verifyFolder(host, folder);
    expect(damage).toMatchObject([
      { file: 'vda.full.data', located: true, unusable: false, spoils: ['virtnbdbackup.0'] },
    ]);
    expect(damage[0]?.hidden).toEqual(['virtnbdbackup.1', 'virtnbdbackup.2']);
    const [range, ...others] = damage[0]?.diskRanges ?? [];
    expect(others).toEqual([]);
    expect(range?.length).toBe(256 * KIB);
    expect(range?.start).toBeGreaterThan(2 * MIB);
    expect(points.map(({ verdict }) => verdict)).toEqual(['damaged', 'ok', 'ok']);
    expect(await unreadablePoints(folder, 'vda', before)).toEqual([]);
  });

  test.each([
    ['a data file', 'vda.inc.virtnbdbackup.2.data', ['virtnbdbackup.2', '1795421522', 'virtnbdbackup.3']],
    ['its checksums', 'vda.inc.virtnbdbackup.2.chunks', ['virtnbdbackup.2', '1795421522', 'virtnbdbackup.3']],
    ['the VM configuration', 'vmconfig.virtnbdbackup.2.xml', ['virtnbdbackup.2']],
  ])('%s that is missing or changed spoils the points that need it', async (_name, file, spoils) => {
    const folder = await smallChain();
    const path = join(folder, file);
    await flip(path, 4);
    const changed = await verifyFolder(host, folder);
    expect(changed.damage.map((each) => [each.file, each.spoils])).toEqual([[file, spoils]]);
    await rm(path);
    const missing = await verifyFolder(host, folder);
    expect(missing.verdict).toBe('damaged');
    expect(missing.damage.map((each) => [each.file, each.spoils])).toEqual([[file, spoils]]);
  });

  test('a file that was cut off is damaged from there on', async () => {
    const folder = await smallChain();
    const path = join(folder, 'vda.full.data');
    const size = (await readFile(path)).length;
    await truncate(path, 100_000);
    const { damage } = await verifyFolder(host, folder);
    expect(damage).toMatchObject([{ file: 'vda.full.data', unusable: true, located: false }]);
    expect([...(damage[0]?.fileRanges ?? [])].at(-1)).toEqual({ start: 98304, length: size - 98304 });
  });

  test('one point is verified with what it needs, and nothing else', async () => {
    const folder = await smallChain();
    await flip(join(folder, 'vda.inc.virtnbdbackup.3.data'), 50_000);
    const report = await verifyFolder(host, folder, { until: 'virtnbdbackup.1' });
    expect(report).toMatchObject({ verdict: 'ok', until: 'virtnbdbackup.1' });
    expect(report.files.filter(({ disk }) => disk !== null).map(({ file }) => file)).toEqual([
      'vda.full.data',
      'vda.inc.virtnbdbackup.1.data',
    ]);
    expect((await verifyFolder(host, folder, { until: 'latest' })).verdict).toBe('damaged');
  });

  test('a data file without a manifest is damage of the folder, though of no point', async () => {
    const folder = await smallChain();
    await writeFile(join(folder, 'vdb.full.data'), await readFile(join(folder, 'vda.full.data')));
    const { verdict, points } = await verifyFolder(host, folder);
    expect(verdict).toBe('damaged');
    expect(points.every((point) => point.verdict === 'ok')).toBe(true);
  });
});

test('progress is in bytes, and reaches its total', async () => {
  const folder = await smallChain('lz4');
  for (const deep of [false, true]) {
    const seen: { done: number; total: number }[] = [];
    await verifyFolder(host, folder, { deep, onProgress: (progress) => void seen.push(progress) });
    expect(seen.at(-1)?.done).toBe(seen.at(-1)?.total);
    expect(seen.every(({ done }, index) => done >= (seen[index - 1]?.done ?? 0))).toBe(true);
  }
});

test('an abort ends it with its reason', async () => {
  const folder = await smallChain();
  const controller = new AbortController();
  const reason = new Error('enough');
  const verify = verifyFolder(host, folder, { signal: controller.signal, onProgress: () => controller.abort(reason) });
  await expect(verify).rejects.toBe(reason);
});

test('an empty folder has nothing to verify, and an unknown point is named', async () => {
  await expect(verifyFolder(host, await tempFolder())).rejects.toMatchObject({ code: 'EMPTY' });
  const unknown = verifyFolder(host, join(fixtures, 'offline-copy'), { until: 'virtnbdbackup.7' });
  await expect(unknown).rejects.toMatchObject({ code: 'UNKNOWN_POINT' });
});

test('nothing is written to the folder', async () => {
  const folder = await copyOfFixture('offline-diff');
  const before = await readdir(folder);
  await verifyFolder(host, folder, { deep: true });
  expect(await readdir(folder)).toEqual(before);
});
