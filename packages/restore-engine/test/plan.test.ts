import { type BackupSet, BackupSetError, type PointDisk, type RestorePoint } from '@virtnbd/backup-set';
import { expect, test } from 'vitest';
import { planRestore } from '../src/plan.ts';

const MIB = 1 << 20;

function disk(name: string, file: string, rest: Partial<PointDisk> = {}): PointDisk {
  return {
    disk: name,
    file,
    kind: 'stream',
    incremental: !file.includes('full'),
    virtualSize: MIB,
    parent: null,
    fileSize: 1,
    ...rest,
  };
}

function point(id: string, disks: PointDisk[]): RestorePoint {
  return { id, level: 'full', checkpoint: id, parent: null, date: '', manifest: null, disks, faults: [] };
}

const points = [
  point('virtnbdbackup.0', [disk('vda', 'vda.full.data'), disk('vdaa', 'vdaa.full.data')]),
  point('virtnbdbackup.1', [
    disk('vda', 'vda.inc.virtnbdbackup.1.data', { virtualSize: 2 * MIB }),
    disk('vdaa', 'vdaa.inc.virtnbdbackup.1.data'),
  ]),
];

const set: Pick<BackupSet, 'point' | 'chain' | 'folder'> = {
  folder: '/backup',
  point: (id) => {
    const found = id === 'latest' ? points.at(-1) : points.find((known) => known.id === id);
    if (found === undefined) throw new BackupSetError('UNKNOWN_POINT', id);
    return found;
  },
  chain: (id) => points.slice(0, points.findIndex((known) => known.id === id) + 1),
};

test('every disk of the newest point is restored, in its size then, from its whole chain', () => {
  const { point: id, images } = planRestore(set, { point: 'latest' }, new Map([['vda', 'system.qcow2']]));
  expect(id).toBe('virtnbdbackup.1');
  expect(images).toEqual([
    {
      disk: 'vda',
      kind: 'stream',
      name: 'system.qcow2',
      virtualSize: 2 * MIB,
      files: ['vda.full.data', 'vda.inc.virtnbdbackup.1.data'],
    },
    {
      disk: 'vdaa',
      kind: 'stream',
      name: 'vdaa.qcow2',
      virtualSize: MIB,
      files: ['vdaa.full.data', 'vdaa.inc.virtnbdbackup.1.data'],
    },
  ]);
});

test('a disk is chosen by its whole name', () => {
  const names = planRestore(set, { point: 'virtnbdbackup.0', disk: 'vda' }, new Map()).images.map(({ name }) => name);
  expect(names).toEqual(['vda.qcow2']);
});

test('an unknown disk is refused with the names that there are', () => {
  expect(() => planRestore(set, { point: 'latest', disk: 'vd' }, new Map())).toThrow(
    expect.objectContaining({ code: 'UNKNOWN_DISK', message: expect.stringContaining('vda, vdaa') }),
  );
});

test('images of one name from different folders get their disks before it', () => {
  const names = new Map([
    ['vda', 'disk.qcow2'],
    ['vdaa', 'disk.qcow2'],
  ]);
  const { images } = planRestore(set, { point: 'latest' }, names);
  expect(images.map(({ name }) => name)).toEqual(['vda.disk.qcow2', 'vdaa.disk.qcow2']);
});

test('names that clash all the same are refused', () => {
  const clashing = { ...set, point: () => point('p', [disk('vda', 'a'), disk('vdb', 'b'), disk('vdc', 'c')]) };
  const names = new Map([
    ['vda', 'x'],
    ['vdb', 'x'],
    ['vdc', 'vda.x'],
  ]);
  expect(() => planRestore(clashing, { point: 'p' }, names)).toThrow(expect.objectContaining({ code: 'NAME_CLASH' }));
});
