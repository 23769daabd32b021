import type { RestorePoint, SetProblem } from '@virtnbd/backup-set';
import { expect, test } from 'vitest';
import type { RequestedLevel } from '../src/context.ts';
import { checkFolder, chooseLevel, type DomainState, differentialId, type FolderState } from '../src/plan/plan.ts';

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

test('what a run of ours has left, which waits for the VM to run again, is in no way', () => {
  const left: SetProblem = {
    ...{ code: 'UNFINISHED', message: '', files: ['virtnbdbackup.1.intent.json'], severity: 'note' },
    point: 'virtnbdbackup.1',
  };
  checkFolder('diff', domain, folder([point([['vda', MIB]])], [left]));
});

const QCOW2 = [{ tracksChanges: true }];
const level = (requested: RequestedLevel, set: FolderState, state: DomainState): string =>
  chooseLevel({ level: requested }, set, state, QCOW2).level;

test('auto is a full in a folder without one, and an increment afterwards; a copy does not count', () => {
  expect(level('auto', folder([]), 'running')).toBe('full');
  expect(level('auto', folder([point([['vda', MIB]], 'copy')]), 'paused')).toBe('full');
  expect(level('auto', folder([point([['vda', MIB]])]), 'running')).toBe('inc');
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
  expect(level(requested, folder([point([['vda', MIB]])]), 'off')).toBe(made);
});

test('a full of raw images alone is a copy, and says so', () => {
  const choice = chooseLevel({ level: 'full' }, folder([]), 'running', [{ tracksChanges: false }]);
  expect(choice).toMatchObject({ level: 'copy', note: { type: 'warning' } });
});

test.each(['inc', 'diff'] as const)('%s of raw images alone is refused', (requested) => {
  const set = folder([point([['vda', MIB]])]);
  expect(() => chooseLevel({ level: requested }, set, 'running', [{ tracksChanges: false }])).toThrow(code('NO_DISKS'));
});

test.each([
  ['inc', 'inc', undefined],
  ['diff', 'diff', undefined],
  ['what auto picks where that is an increment', 'auto', undefined],
  ['a compressed copy', 'copy', 1],
] as const)('type raw is refused for %s', (_name, requested, compress) => {
  const request = { level: requested, output: 'raw', ...(compress !== undefined && { compress }) } as const;
  expect(() => chooseLevel(request, folder([point([['vda', MIB]])]), 'running', QCOW2)).toThrow(code('BAD_OPTIONS'));
});
