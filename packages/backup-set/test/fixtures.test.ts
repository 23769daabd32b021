import { createHash } from 'node:crypto';
import { cp, readFile, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { StreamFile } from '@virtnbd/stream-format';
import { describe, expect, test } from 'vitest';
import { BackupSet } from '../src/index.ts';
import { fixtures, host, tempFolder } from './support.ts';

/** The disk that layers make, the plain way. */
async function assemble(layers: readonly { file: StreamFile }[]): Promise<string> {
  const disk = Buffer.alloc(layers.at(-1)?.file.meta.virtualSize ?? 0);
  for (const { file } of layers) {
    if (!file.meta.incremental) disk.fill(0);
    for (let frame = 0; frame < file.index.count; frame++) {
      const start = file.index.start(frame);
      await file.read(frame, 0, disk.subarray(start, start + file.index.length(frame)));
    }
  }
  return createHash('sha256').update(disk).digest('hex');
}

/** sha256 by file name, of the disk once the file has been applied. */
async function faithful(folder: string): Promise<Map<string, string>> {
  const lines = (await readFile(join(fixtures, folder, 'FAITHFUL.sha256'), 'utf8')).trim().split('\n');
  return new Map(
    lines.map((line) => {
      const [sum = '', file = ''] = line.split(' ');
      return [file, sum];
    }),
  );
}

const summary = (set: BackupSet): unknown =>
  set.points.map(({ id, level, parent, disks }) => [
    id,
    level,
    parent,
    disks.map(({ disk, kind }) => `${disk} ${kind}`),
  ]);

const vda = ['vda stream'];
const folders: [string, unknown[]][] = [
  [
    'plain-full-inc-inc-diff',
    [
      ['virtnbdbackup.0', 'full', null, vda],
      ['virtnbdbackup.1', 'inc', 'virtnbdbackup.0', vda],
      ['virtnbdbackup.2', 'inc', 'virtnbdbackup.1', vda],
      ['1795421522', 'diff', 'virtnbdbackup.2', vda],
    ],
  ],
  [
    'lz4-with-zeroed-ranges',
    [
      ['virtnbdbackup.0', 'full', null, vda],
      ['virtnbdbackup.1', 'inc', 'virtnbdbackup.0', vda],
      ['virtnbdbackup.2', 'inc', 'virtnbdbackup.1', vda],
    ],
  ],
  ['lz4-cut-frames', [['copy', 'copy', null, vda]]],
  [
    'offline-diff',
    [
      ['virtnbdbackup.0', 'full', null, vda],
      ['virtnbdbackup.1', 'inc', 'virtnbdbackup.0', vda],
      ['1795421550', 'diff', 'virtnbdbackup.1', vda],
    ],
  ],
  ['offline-copy', [['copy', 'copy', null, vda]]],
  [
    'lost-bitmap-inc-is-full',
    [
      ['virtnbdbackup.0', 'full', null, vda],
      ['virtnbdbackup.1', 'inc', null, vda],
    ],
  ],
  ['two-disks-one-raw', [['virtnbdbackup.0', 'full', null, ['vda stream', 'vdaa raw']]]],
  ['type-raw-full', [['virtnbdbackup.0', 'full', null, ['vda raw']]]],
];

describe('folders of the established tool', () => {
  test.each(folders)('%s has the points that were made', async (name, expected) => {
    const set = await BackupSet.open(host, join(fixtures, name));
    expect(summary(set)).toEqual(expected);
    expect(set.problems).toEqual([]);
  });

  test.each(folders)('%s gives at each point what its files faithfully hold', async (name) => {
    if (name === 'type-raw-full') return;
    const set = await BackupSet.open(host, join(fixtures, name));
    const sums = await faithful(name);
    for (const { id } of set.points) {
      await using opened = await set.openLayers('vda', id);
      if (opened.kind !== 'stream') throw new Error('a stream was expected');
      expect(opened.notes).toEqual([]);
      expect(opened.layers.every(({ checked }) => checked === 'adler32')).toBe(true);
      expect(await assemble(opened.layers)).toBe(sums.get(opened.layers.at(-1)?.name ?? ''));
    }
  });

  test('latest is the end of the chain, or the differential upon it', async () => {
    const latest = async (name: string): Promise<string[]> => {
      const set = await BackupSet.open(host, join(fixtures, name));
      return set.chain('latest').map(({ id }) => id);
    };
    expect(await latest('plain-full-inc-inc-diff')).toEqual([
      'virtnbdbackup.0',
      'virtnbdbackup.1',
      'virtnbdbackup.2',
      '1795421522',
    ]);
    expect(await latest('lost-bitmap-inc-is-full')).toEqual(['virtnbdbackup.1']);
    expect(await latest('lz4-with-zeroed-ranges')).toHaveLength(3);
    expect(await latest('offline-copy')).toEqual(['copy']);
  });

  test('a raw image is given as it is, with a note that nothing checks it', async () => {
    for (const [name, disk] of [
      ['type-raw-full', 'vda'],
      ['two-disks-one-raw', 'vdaa'],
    ] as const) {
      const set = await BackupSet.open(host, join(fixtures, name));
      await using opened = await set.openLayers(disk, 'latest');
      if (opened.kind !== 'raw') throw new Error('a raw image was expected');
      const bytes = new Uint8Array(opened.image.source.size);
      await opened.image.source.read(0, bytes);
      const expected = await readFile(join(fixtures, name, 'EXPECTED.sha256'), 'utf8');
      expect(expected).toContain(createHash('sha256').update(bytes).digest('hex'));
      expect(opened.notes).toHaveLength(1);
    }
  });

  test('an interrupted run leaves no point', async () => {
    const set = await BackupSet.open(host, join(fixtures, 'interrupted-partial'));
    expect(set.points).toEqual([]);
    expect(set.problems.map(({ code, files }) => [code, files])).toEqual([['UNFINISHED', ['vda.copy.data.partial']]]);
    expect(() => set.chain('latest')).toThrowError(expect.objectContaining({ code: 'EMPTY' }));
  });

  test('identities of checkpoints come from their XML, so that the chain can be adopted', async () => {
    const set = await BackupSet.open(host, join(fixtures, 'plain-full-inc-inc-diff'));
    expect(set.checkpoints).toMatchObject([
      { name: 'virtnbdbackup.0' },
      { name: 'virtnbdbackup.1', creationTime: 1795421517 },
      { name: 'virtnbdbackup.2' },
    ]);
    expect(set.storedCheckpoints.map(({ name, parent }) => [name, parent])).toEqual([
      ['virtnbdbackup.0', null],
      ['virtnbdbackup.1', 'virtnbdbackup.0'],
      ['virtnbdbackup.2', 'virtnbdbackup.1'],
    ]);
  });

  test('shuffled and lost file times change nothing', async () => {
    const before = await BackupSet.open(host, join(fixtures, 'plain-full-inc-inc-diff'));
    const folder = await tempFolder();
    await cp(join(fixtures, 'plain-full-inc-inc-diff'), folder, { recursive: true });
    const names = (await host.files.list(folder)).map(({ name }) => name);
    for (const [index, name] of names.entries()) {
      const time = (index * 7919) % 13;
      await utimes(join(folder, name), time, time);
    }
    const after = await BackupSet.open(host, folder);
    expect(after.points).toEqual(before.points);
    expect(after.chain('latest')).toEqual(before.chain('latest'));
  });
});
