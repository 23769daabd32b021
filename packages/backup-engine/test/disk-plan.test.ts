import type { RestorePoint } from '@virtnbd/backup-set';
import { expect, test } from 'vitest';
import { type DiskPlanInput, type FoundDisk, planDisks } from '../src/plan/disk-plan.ts';

const MIB = 1 << 20;

function parentOf(disks: readonly string[], rest: Partial<RestorePoint['disks'][number]> = {}): RestorePoint {
  return {
    ...{ id: 'virtnbdbackup.0', level: 'full', checkpoint: 'virtnbdbackup.0', parent: null, date: '' },
    ...{ manifest: null, faults: [] },
    disks: disks.map((disk) => ({
      ...{ disk, file: `${disk}.full.data`, kind: 'stream', incremental: false, virtualSize: MIB },
      ...{ images: [`/images/${disk}`], parent: null, fileSize: 1 },
      ...rest,
    })),
  };
}

function found(target: string, rest: Partial<FoundDisk> = {}): FoundDisk {
  return {
    ...{ target, format: 'qcow2', source: `/images/${target}`, onNetwork: false, tracksChanges: true },
    ...{ virtualSize: MIB, compat: '1.1', images: [`/images/${target}`], bitmaps: [], allocated: null, json: '{}' },
    ...rest,
  };
}

const raw = (target: string): FoundDisk => found(target, { format: 'raw', tracksChanges: false, compat: null });

function plan(disks: readonly FoundDisk[], input: Partial<DiskPlanInput> = {}) {
  return planDisks(disks, {
    ...{ level: 'inc', output: 'stream', point: 'virtnbdbackup.1', checkpointName: 'virtnbdbackup.1' },
    parent: input.level === 'full' || input.level === 'copy' ? null : parentOf(['vda', 'vdb']),
    tracked: new Set(['vda', 'vdb']),
    taken: new Set(['vda.full.data', 'vdb.full.data']),
    ...input,
  });
}

const fresh = { taken: new Set<string>() };
const files = (result: ReturnType<typeof plan>): string[] => result.disks.map(({ file }) => file);
const bases = (result: ReturnType<typeof plan>): string[] =>
  result.disks.filter(({ since }) => since === null).map(({ target }) => target);

test('an increment of the same disks saves their changes', () => {
  const result = plan([found('vda'), found('vdb')]);
  expect(files(result)).toEqual(['vda.inc.virtnbdbackup.1.data', 'vdb.inc.virtnbdbackup.1.data']);
  expect([bases(result), result.warnings]).toEqual([[], []]);
  expect(result.disks[0]?.header).toEqual({ checkpointName: 'virtnbdbackup.1', parentCheckpoint: 'virtnbdbackup.0' });
});

test.each([
  ['resized', [found('vda', { virtualSize: 2 * MIB }), found('vdb')], ['vda']],
  ['replaced', [found('vda', { images: ['/images/other'] }), found('vdb')], ['vda']],
  ['exchanged', [found('vda', { images: ['/images/vdb'] }), found('vdb', { images: ['/images/vda'] })], ['vda', 'vdb']],
  [
    'put upon the image of another',
    [found('vda', { images: ['/new', '/images/vdb'] }), found('vdb', { images: ['/images/vdb'] })],
    ['vda', 'vdb'],
  ],
] as const)('a disk that was %s is a base under the name of an increment, with a warning', (_name, disks, expected) => {
  const result = plan(disks);
  expect(bases(result)).toEqual(expected);
  expect(result.warnings).toHaveLength(expected.length);
  for (const { target, file, header } of result.disks) {
    expect(file).toBe(`${target}.inc.virtnbdbackup.1.data`);
    if (bases(result).includes(target)) expect(header?.parentCheckpoint).toBe('');
  }
});

test('a disk without a usable bitmap is a base', () => {
  expect(bases(plan([found('vda'), found('vdb')], { tracked: new Set(['vdb']) }))).toEqual(['vda']);
});

test('a disk that is new begins as in a full, and one that was away comes back under an increment', () => {
  const added = plan([found('vda'), found('vdc')]);
  expect(files(added)).toEqual(['vda.inc.virtnbdbackup.1.data', 'vdc.full.data']);
  const back = plan([found('vda'), found('vdb')], { parent: parentOf(['vda']) });
  expect(files(back)).toEqual(['vda.inc.virtnbdbackup.1.data', 'vdb.inc.virtnbdbackup.1.data']);
  expect(bases(back)).toEqual(['vdb']);
});

test('a disk that was saved as a raw image is a base: nothing is built upon one', () => {
  const parent = parentOf(['vda'], { kind: 'raw' });
  expect(bases(plan([found('vda')], { parent }))).toEqual(['vda']);
});

test('a disk that the parent point has and this one has not is told', () => {
  expect(plan([found('vda')]).warnings).toEqual([expect.stringContaining('vdb')]);
});

test.each([
  ['an external snapshot', ['/snapshots/vda', '/images/vda']],
  ['nothing', ['/images/vda']],
])('after %s a disk is known to be the same', (_name, images) => {
  expect(bases(plan([found('vda', { images }), found('vdb')]))).toEqual([]);
});

test('a base of a differential has the name of the differential', () => {
  const point = '1795421522';
  expect(files(plan([found('vdc')], { level: 'diff', point }))).toEqual(['vdc.diff.1795421522.data']);
});

test('raw images are plain copies beside the stream files of a full', () => {
  const { disks } = plan([found('vda'), raw('vdb')], { level: 'full', point: 'virtnbdbackup.0', ...fresh });
  expect(disks.map(({ file, output }) => [file, output])).toEqual([
    ['vda.full.data', 'stream'],
    ['vdb.copy.data', 'raw'],
  ]);
});

test('in an increment a raw image is a whole stream file', () => {
  const { disks, warnings } = plan([found('vda'), found('vdb'), raw('vdc')], {});
  expect(disks[2]).toMatchObject({ file: 'vdc.full.data', output: 'stream', since: null });
  expect(warnings).toEqual([]);
});

test('under type raw every disk of a full is a plain image', () => {
  const { disks } = plan([found('vda')], { level: 'full', output: 'raw', point: 'virtnbdbackup.0', ...fresh });
  expect(disks[0]).toMatchObject({ file: 'vda.full.data', output: 'raw', header: null });
});

test('the full that follows a copy does not write over its raw images', () => {
  const taken = new Set(['vda.copy.data', 'vdb.copy.data']);
  const { disks } = plan([found('vda'), raw('vdb')], { level: 'full', point: 'virtnbdbackup.0', taken });
  expect(disks.map(({ file, output }) => [file, output])).toEqual([
    ['vda.full.data', 'stream'],
    ['vdb.full.data', 'stream'],
  ]);
});

test('qcow2 version 2 is saved as a copy only', () => {
  const old = [found('vda', { compat: '0.10' })];
  expect(files(plan(old, { level: 'copy', point: 'copy', ...fresh }))).toEqual(['vda.copy.data']);
  expect(() => plan(old)).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_DISK', disk: 'vda' }));
});
