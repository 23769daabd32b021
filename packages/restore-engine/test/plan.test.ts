import type { BackupSet, PointDisk, RestorePoint } from '@virtnbd/backup-set';
import { expect, test } from 'vitest';
import { type PlannedImage, planRestore, type SourceImage } from '../src/plan.ts';

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

const full = point('virtnbdbackup.0', [disk('vda', 'vda.full.data'), disk('vdaa', 'vdaa.full.data')]);
const newest = point('virtnbdbackup.1', [
  disk('vda', 'vda.inc.virtnbdbackup.1.data', { virtualSize: 2 * MIB }),
  disk('vdaa', 'vdaa.inc.virtnbdbackup.1.data'),
]);

const set: Pick<BackupSet, 'chain'> = { chain: (id) => (id === full.id ? [full] : [full, newest]) };

/** Source images with these names. */
const sources = (names: Record<string, string>, dataFiles: Record<string, string> = {}): Map<string, SourceImage> =>
  new Map(Object.entries(names).map(([disk, name]) => [disk, { name, dataFile: dataFiles[disk] ?? null }]));

const fileName = ({ target }: PlannedImage): string => (target.kind === 'file' ? target.name : target.path);

test('every disk of the newest point is restored, in its size then, from its whole chain', () => {
  const { point: id, images } = planRestore(set, newest, {}, sources({ vda: 'system.qcow2' }));
  expect(id).toBe('virtnbdbackup.1');
  expect(images).toEqual([
    {
      disk: 'vda',
      kind: 'stream',
      target: { kind: 'file', name: 'system.qcow2', format: 'qcow2' },
      virtualSize: 2 * MIB,
      files: ['vda.full.data', 'vda.inc.virtnbdbackup.1.data'],
    },
    {
      disk: 'vdaa',
      kind: 'stream',
      target: { kind: 'file', name: 'vdaa.qcow2', format: 'qcow2' },
      virtualSize: MIB,
      files: ['vdaa.full.data', 'vdaa.inc.virtnbdbackup.1.data'],
    },
  ]);
});

test('a disk is chosen by its whole name', () => {
  const { images } = planRestore(set, full, { disk: 'vda' }, sources({}));
  expect(images.map(({ disk: name }) => name)).toEqual(['vda']);
});

test('an unknown disk is refused with the names that there are', () => {
  expect(() => planRestore(set, newest, { disk: 'vd' }, new Map())).toThrow(
    expect.objectContaining({ code: 'UNKNOWN_DISK', message: expect.stringContaining('vda, vdaa') }),
  );
});

test('images of one name from different folders get their disks before it', () => {
  const { images } = planRestore(set, newest, {}, sources({ vda: 'disk.qcow2', vdaa: 'disk.qcow2' }));
  expect(images.map(fileName)).toEqual(['vda.disk.qcow2', 'vdaa.disk.qcow2']);
});

test('names that clash all the same are refused', () => {
  const clashing = point('p', [disk('vda', 'a'), disk('vdb', 'b'), disk('vdc', 'c')]);
  const names = sources({ vda: 'x', vdb: 'x', vdc: 'vda.x' });
  expect(() => planRestore(set, clashing, {}, names)).toThrow(expect.objectContaining({ code: 'NAME_CLASH' }));
});

test('an image that changes its format changes its suffix', () => {
  const { images } = planRestore(set, newest, { format: 'vmdk' }, sources({ vda: 'system.qcow2', vdaa: 'data' }));
  expect(images.map(fileName)).toEqual(['system.vmdk', 'data.vmdk']);
});

test('an image with a data file gets both, under names of their own', () => {
  const both = sources({ vda: 'a.qcow2', vdaa: 'b.qcow2' }, { vda: 'data.raw', vdaa: 'data.raw' });
  const { images } = planRestore(set, newest, {}, both);
  expect(images.map(({ target }) => target)).toEqual([
    { kind: 'file', name: 'a.qcow2', format: 'qcow2', dataFile: 'data.raw' },
    { kind: 'file', name: 'b.qcow2', format: 'qcow2', dataFile: 'vdaa.data.raw' },
  ]);
});

test('a data file named as its image gets the name of its disk before it', () => {
  const { images } = planRestore(set, newest, { disk: 'vda' }, sources({ vda: 'a' }, { vda: 'a' }));
  expect(images[0]?.target).toMatchObject({ name: 'a', dataFile: 'vda.a' });
});

test('disks go to devices and onto images as told, and the others to files', () => {
  const devices = new Map([['vda', '/dev/vg/a']]);
  const onto = new Map([['vdaa', '/images/b.qcow2']]);
  expect(planRestore(set, newest, { devices, onto }, sources({})).images.map(({ target }) => target)).toEqual([
    { kind: 'device', path: '/dev/vg/a' },
    { kind: 'onto', path: '/images/b.qcow2', format: 'qcow2' },
  ]);
});

test('a device for a disk that the point has not is refused', () => {
  const devices = new Map([['vdz', '/dev/vg/a']]);
  expect(() => planRestore(set, newest, { devices }, sources({}))).toThrow(
    expect.objectContaining({ code: 'UNKNOWN_DISK' }),
  );
});

test.each(['..', 'a/b', 'a\nb', ''])('a name that may not name a file is refused: %j', (name) => {
  expect(() => planRestore(set, newest, {}, sources({ vda: name }))).toThrow(
    expect.objectContaining({ code: 'BAD_NAME' }),
  );
});
