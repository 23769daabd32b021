import type { RestorePoint, SetProblem } from '@virtnbd/backup-set';
import { expect, test } from 'vitest';
import { checkDisks, checkFolder, differentialId, type FolderState, levelFor, type PlannedDisk } from '../src/plan.ts';

const MIB = 1 << 20;
const domain = { name: 'vm1', uuid: 'a-uuid' };

function point(disks: [string, number][], level: RestorePoint['level'] = 'full'): RestorePoint {
  return {
    id: 'virtnbdbackup.0',
    level,
    checkpoint: 'virtnbdbackup.0',
    parent: null,
    date: '',
    manifest: null,
    faults: [],
    disks: disks.map(([disk, virtualSize]) => ({
      disk,
      file: `${disk}.full.data`,
      kind: 'stream',
      incremental: false,
      virtualSize,
      images: [`/images/${disk}`],
      parent: null,
      fileSize: 1,
    })),
  };
}

const folder = (points: RestorePoint[], problems: SetProblem[] = []): FolderState => ({
  folder: '/backup',
  points,
  problems,
});

const planned = (target: string, virtualSize = MIB, compat = '1.1'): PlannedDisk => ({
  target,
  format: 'qcow2',
  source: `/images/${target}`,
  virtualSize,
  compat,
  images: [`/images/${target}`],
  bitmaps: [],
  json: '{}',
});

const code = (expected: string) => expect.objectContaining({ code: expected });

test('an empty folder takes a full and a copy, but no increment', () => {
  checkFolder('full', domain, folder([]));
  checkFolder('copy', domain, folder([]));
  expect(() => checkFolder('inc', domain, folder([]))).toThrow(code('NOTHING_TO_INCREMENT'));
});

test('a folder with a full takes an increment, but no second full and no copy', () => {
  const used = folder([point([['vda', MIB]])]);
  checkFolder('inc', domain, used);
  expect(() => checkFolder('full', domain, used)).toThrow(code('FOLDER_NOT_EMPTY'));
  expect(() => checkFolder('copy', domain, used)).toThrow(code('FOLDER_NOT_EMPTY'));
});

test('a copy is no parent', () => {
  const used = folder([point([['vda', MIB]], 'copy')]);
  expect(() => checkFolder('inc', domain, used)).toThrow(code('NOTHING_TO_INCREMENT'));
});

test("what another tool's interrupted run left is named", () => {
  const left: SetProblem = { code: 'UNFINISHED', message: '', files: ['vda.full.data.partial'], severity: 'error' };
  expect(() => checkFolder('full', domain, folder([], [left]))).toThrow(/vda\.full\.data\.partial/);
});

test('qcow2 version 2 is saved as a copy only', () => {
  checkDisks('copy', [planned('vda', MIB, '0.10')], null);
  expect(() => checkDisks('full', [planned('vda', MIB, '0.10')], null)).toThrow(code('UNSUPPORTED_DISK'));
});

test('an increment goes on with the same disks in the same sizes', () => {
  checkDisks(
    'inc',
    [planned('vda'), planned('vdb')],
    point([
      ['vda', MIB],
      ['vdb', MIB],
    ]),
  );
});

test.each([
  ['added', [planned('vda'), planned('vdb')]],
  ['left out', []],
  ['resized', [planned('vda', 2 * MIB)]],
  ['replaced by one whose name begins with its own', [planned('vdaa')]],
])('a disk that was %s since the parent point is refused', (_name, disks) => {
  expect(() => checkDisks('inc', disks, point([['vda', MIB]]))).toThrow(code('DISKS_CHANGED'));
});

test('auto is a full in a folder without one, and an increment afterwards; a copy does not count', () => {
  expect(levelFor('auto', folder([]), 'running')).toBe('full');
  expect(levelFor('auto', folder([point([['vda', MIB]], 'copy')]), 'paused')).toBe('full');
  expect(levelFor('auto', folder([point([['vda', MIB]])]), 'running')).toBe('inc');
});

test('two differentials of one second have different ids', () => {
  const first = { ...point([['vda', MIB]], 'diff'), id: '1795421522' };
  expect(differentialId(1795421522_900, folder([]))).toBe('1795421522');
  expect(differentialId(1795421522_900, folder([first]))).toBe('1795421523');
});

test.each([
  ['copy', 'copy'],
  ['full', 'copy'],
  ['inc', 'diff'],
  ['diff', 'diff'],
] as const)('of a VM that is off, level %s is made as %s', (requested, made) => {
  expect(levelFor(requested, folder([point([['vda', MIB]])]), 'off')).toBe(made);
});

const at = (target: string, ...images: string[]): PlannedDisk => ({ ...planned(target), images });

test.each([
  ['an external snapshot', at('vda', '/snapshots/vda', '/images/vda')],
  ['nothing', at('vda', '/images/vda')],
])('after %s a disk is known to be the same', (_name, disk) => {
  checkDisks('inc', [disk], point([['vda', MIB]]));
});

test.each([
  ['exchanged', [at('vda', '/images/vdb'), at('vdb', '/images/vda')]],
  ['replaced', [at('vda', '/images/other'), at('vdb', '/images/vdb')]],
  ['put upon the image of another', [at('vda', '/new', '/images/vdb'), at('vdb', '/images/vdb')]],
])('disks whose images were %s are refused', (_name, disks) => {
  expect(() =>
    checkDisks(
      'inc',
      disks,
      point([
        ['vda', MIB],
        ['vdb', MIB],
      ]),
    ),
  ).toThrow(code('DISKS_CHANGED'));
});
