import { copyFile, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeVerdict } from '@virtnbd/backup-set';
import { fixtures, host, KIB, MIB, makePoint, wholeDisk } from '@virtnbd/sample-sets';
import { describe, expect, test } from 'vitest';
import { describeFolder, pointTree } from '../src/index.ts';
import { copyOfFixture, tempFolder } from './temp.ts';

const states = async (folder: string) => {
  const { points } = await describeFolder(host, folder);
  return points.map(({ id, state }) => [id, state]);
};

describe('the fixtures of the established tool', () => {
  test.each([
    ['plain-full-inc-inc-diff', ['virtnbdbackup.0', 'virtnbdbackup.1', 'virtnbdbackup.2', '1795421522'], 1],
    ['lz4-with-zeroed-ranges', ['virtnbdbackup.0', 'virtnbdbackup.1', 'virtnbdbackup.2'], 1],
    ['lz4-cut-frames', ['copy'], 1],
    ['offline-copy', ['copy'], 1],
    ['offline-diff', ['virtnbdbackup.0', 'virtnbdbackup.1', '1795421550'], 1],
    ['lost-bitmap-inc-is-full', ['virtnbdbackup.0', 'virtnbdbackup.1'], 2],
    ['two-disks-one-raw', ['virtnbdbackup.0'], 1],
    ['type-raw-full', ['virtnbdbackup.0'], 1],
  ])('%s: all points are complete', async (name, ids, chains) => {
    const folder = await describeFolder(host, join(fixtures, name));
    expect(folder.points.map(({ id, state }) => [id, state])).toEqual(ids.map((id) => [id, 'complete']));
    expect(folder.chains).toHaveLength(chains);
    expect(folder.problems).toEqual([]);
    expect(folder.totals.fileBytes).toBe(folder.points.reduce((sum, { fileBytes }) => sum + fileBytes, 0));
  });

  test('a point tells what it could be restored to, and from which files', async () => {
    const { points, domain, latest } = await describeFolder(host, join(fixtures, 'plain-full-inc-inc-diff'));
    expect(domain.name).toBe('barvm');
    expect(latest).toBe('1795421522');
    expect(points[1]?.disks[0]).toMatchObject({
      disk: 'vda',
      virtualSize: 16 * MIB,
      format: 'qcow2',
      base: false,
      checksum: 'adler32',
      restore: {
        possible: true,
        points: ['virtnbdbackup.0', 'virtnbdbackup.1'],
        files: ['vda.full.data', 'vda.inc.virtnbdbackup.1.data'],
      },
    });
    expect(points[1]?.config).toBe('vmconfig.virtnbdbackup.1.xml');
  });

  test('disks of names that begin alike are told apart, and a raw one is raw', async () => {
    const { points } = await describeFolder(host, join(fixtures, 'two-disks-one-raw'));
    expect(points[0]?.disks.map(({ disk, kind, checksum }) => [disk, kind, checksum])).toEqual([
      ['vda', 'stream', 'adler32'],
      ['vdaa', 'raw', 'none'],
    ]);
  });

  test('a point tells what its last test boot found; a record that cannot be read spoils nothing', async () => {
    const folder = await copyOfFixture('plain-full-inc-inc-diff');
    const writer = { name: 'virtnbd', version: '1.0.0' };
    const boot = {
      at: '2026-11-24T03:00:00Z',
      passed: false,
      sign: 'agent',
      seconds: 300,
      message: 'no answer',
      writer,
    } as const;
    await writeVerdict(host, folder, { point: 'virtnbdbackup.1', boot });
    await writeFile(join(folder, 'virtnbdbackup.2.verdict.json'), '{');
    const { points, problems } = await describeFolder(host, folder);
    expect(points.map((point) => point.boot)).toEqual([null, boot, null, null]);
    expect(points.map(({ state }) => state)).toEqual(points.map(() => 'complete'));
    expect(problems).toEqual([expect.objectContaining({ point: 'virtnbdbackup.2', severity: 'note' })]);
  });

  test('a run that was interrupted is partial, and no restore point', async () => {
    const { points, unfinished } = await describeFolder(host, join(fixtures, 'interrupted-partial'));
    expect(points).toEqual([]);
    expect(unfinished).toEqual([
      { id: 'copy', state: 'partial', files: [{ name: 'vda.copy.data.partial', fileBytes: 4810 }], fileBytes: 4810 },
    ]);
  });
});

describe('what is not in order', () => {
  test('a file that was cut off is damaged, and so is what builds upon it', async () => {
    const folder = await copyOfFixture('plain-full-inc-inc-diff');
    await truncate(join(folder, 'vda.inc.virtnbdbackup.1.data'), 1000);
    expect(await states(folder)).toEqual([
      ['virtnbdbackup.0', 'complete'],
      ['virtnbdbackup.1', 'damaged'],
      ['virtnbdbackup.2', 'damaged'],
      ['1795421522', 'damaged'],
    ]);
  });

  test('points above a gap are orphans', async () => {
    const folder = await copyOfFixture('plain-full-inc-inc-diff');
    await rm(join(folder, 'vda.inc.virtnbdbackup.1.data'));
    const { points, strays } = await describeFolder(host, folder);
    expect(points.map(({ id, state }) => [id, state])).toEqual([
      ['virtnbdbackup.0', 'complete'],
      ['virtnbdbackup.2', 'orphan'],
      ['1795421522', 'orphan'],
    ]);
    expect(strays).toMatchObject([{ name: 'vda.inc.virtnbdbackup.1.data.chksum', state: 'orphan' }]);
  });

  test('a renamed increment is foreign', async () => {
    const folder = await copyOfFixture('plain-full-inc-inc-diff');
    await rename(join(folder, 'vda.inc.virtnbdbackup.2.data'), join(folder, 'vda.inc.virtnbdbackup.3.data'));
    expect(await states(folder)).toContainEqual(['virtnbdbackup.3', 'foreign']);
  });

  test('a data file of ours without its manifest belongs to no point', async () => {
    const folder = await tempFolder();
    await makePoint(folder, { number: 0, disks: [{ virtualSize: MIB, frames: wholeDisk(MIB, 64 * KIB, 1) }] });
    await copyFile(join(folder, 'vda.full.data'), join(folder, 'vdc.full.data'));
    const { strays, points } = await describeFolder(host, folder);
    expect(points).toHaveLength(1);
    expect(strays).toMatchObject([{ name: 'vdc.full.data', state: 'orphan' }]);
  });

  test('a missing file makes its disk impossible to restore, and not the other disk', async () => {
    const folder = await tempFolder();
    const disks = ['vda', 'vdb'].map((disk) => ({ disk, virtualSize: MIB, frames: wholeDisk(MIB, 64 * KIB, 1) }));
    await makePoint(folder, { number: 0, disks });
    await rm(join(folder, 'vdb.full.data'));
    const { points, problems } = await describeFolder(host, folder);
    expect(points[0]).toMatchObject({ state: 'damaged' });
    expect(points[0]?.disks.map(({ disk, restore }) => [disk, restore.possible])).toEqual([
      ['vda', true],
      ['vdb', false],
    ]);
    expect(problems.filter(({ files }) => files.includes('vdb.full.data'))).toHaveLength(1);
  });

  test('a folder that is not there is said to be missing', async () => {
    await expect(describeFolder(host, '/nowhere/at all')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('nothing is written to the folder', async () => {
    const folder = await copyOfFixture('offline-diff');
    const before = await host.files.list(folder);
    await describeFolder(host, folder);
    expect(await host.files.list(folder)).toEqual(before);
  });
});

describe('regions', () => {
  test('each increment counts once in each region that it touches', async () => {
    const folder = await tempFolder();
    await makePoint(folder, { number: 0, disks: [{ virtualSize: MIB, frames: wholeDisk(MIB, MIB / 2, 1) }] });
    const changes = [
      [{ start: 0, length: 4 * KIB, fill: 2 }],
      [
        { start: 0, length: 64 * KIB, fill: 3 },
        { start: 256 * KIB, length: 512 * KIB, zero: true as const },
      ],
    ];
    for (const [index, frames] of changes.entries())
      await makePoint(folder, { number: index + 1, disks: [{ virtualSize: MIB, frames }] });
    const { regions } = await describeFolder(host, folder, { cells: 4 });
    expect(regions).toMatchObject([
      {
        disk: 'vda',
        cellBytes: 256 * KIB,
        count: 4,
        increments: 2,
        changes: [2, 1, 1, 0],
        changedBytes: [68 * KIB, 256 * KIB, 256 * KIB, 0],
        dataBytes: [256 * KIB + 68 * KIB, 256 * KIB, 0, 0],
      },
    ]);
  });

  test('a disk that grew has the regions of its largest size', async () => {
    const folder = await tempFolder();
    await makePoint(folder, { number: 0, disks: [{ virtualSize: MIB, frames: wholeDisk(MIB, 4 * KIB, 1) }] });
    const grown = { virtualSize: 2 * MIB, frames: [{ start: MIB, length: 4 * KIB, fill: 2 }] };
    await makePoint(folder, { number: 1, disks: [grown] });
    const { regions } = await describeFolder(host, folder, { cells: 2 });
    expect(regions[0]).toMatchObject({ virtualSize: 2 * MIB, changes: [0, 1] });
  });
});

test('a chain goes straight down, and a differential branches off', async () => {
  const { points } = await describeFolder(host, join(fixtures, 'plain-full-inc-inc-diff'));
  expect(pointTree(points).map(({ point, depth, branch, below }) => [point.id, depth, branch, below])).toEqual([
    ['virtnbdbackup.0', 0, false, [true]],
    ['virtnbdbackup.1', 0, false, [true]],
    ['virtnbdbackup.2', 0, false, [true]],
    ['1795421522', 1, true, [false, false]],
  ]);
});

test('a chain of 50 points is one line', async () => {
  const folder = await tempFolder();
  await makePoint(folder, { number: 0, disks: [{ virtualSize: MIB, frames: wholeDisk(MIB, 64 * KIB, 1) }] });
  for (let number = 1; number < 50; number++) {
    const frames = [{ start: (number % 16) * 64 * KIB, length: 64 * KIB, fill: number }];
    await makePoint(folder, { number, disks: [{ virtualSize: MIB, frames }] });
  }
  const { points, chains, totals } = await describeFolder(host, folder);
  expect(totals).toMatchObject({ points: 50, complete: 50 });
  expect(chains).toMatchObject([{ base: 'virtnbdbackup.0', state: 'complete' }]);
  expect(points[49]?.disks[0]?.restore.files).toHaveLength(50);
  expect(new Set(pointTree(points).map(({ depth }) => depth))).toEqual(new Set([0]));
});

test('hostile values in a header of the established tool do no harm', async () => {
  const folder = await copyOfFixture('offline-copy');
  const file = join(folder, 'vda.copy.data');
  const bytes = await readFile(file);
  const length = Number.parseInt(bytes.subarray(22, 38).toString(), 16);
  const meta = JSON.parse(bytes.subarray(40, 40 + length).toString());
  const json = Buffer.from(JSON.stringify({ ...meta, virtualSize: 2 ** 53 - 1, date: '\u001b[2J<script>' }));
  const head = Buffer.from(`meta ${'0'.repeat(16)} ${json.length.toString(16).padStart(16, '0')}\r\n`);
  await writeFile(file, Buffer.concat([head, json, bytes.subarray(40 + length)]));
  const { regions, points } = await describeFolder(host, folder);
  expect(points[0]?.date).toContain('<script>');
  expect(regions[0]?.count).toBeLessThanOrEqual(1024);
});
