import { cp, readdir, readFile, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { requires, type TempFolder, tempFolder } from '@virtnbd/test-kit';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type CommandResult, run } from '../src/commands.ts';
import { established } from '../src/established.ts';

const fixture = fileURLToPath(
  new URL('../../../packages/stream-format/test/fixtures/established-2.47/plain-full-inc-inc-diff', import.meta.url),
);
const INC1 = 'vda.inc.virtnbdbackup.1.data';
let work: TempFolder;
let target: string;

beforeEach(async () => {
  work = await tempFolder();
  target = join(work.path, 'restored');
});
afterEach(() => work.remove());

/** Runs the command on the fixture, or on a folder of the test's own. */
const restore = (...args: string[]): Promise<CommandResult> =>
  run('virtnbdrestore', ['-n', ...(args.includes('-i') ? [] : ['-i', fixture]), ...args], { HOME: work.path });

const restored = (): Promise<string[]> => readdir(target).catch(() => []);

/** A copy of the fixture, cut off in its first increment. */
async function damaged(): Promise<string> {
  const folder = join(work.path, 'damaged');
  await cp(fixture, folder, { recursive: true });
  await truncate(join(folder, INC1), 1000);
  return folder;
}

test('a dry run tells what would be made, and makes nothing', async () => {
  const { code, stdout, stderr } = await restore('-o', target, '--dry-run');
  expect([code, stdout, await restored()]).toEqual([0, '', []]);
  expect(stderr).toMatch(/disk vda, 16\.0 MiB, to disk\.qcow2, qcow2, from vda\.full\.data, .*nothing was written/s);
});

test('--json tells the plan and the result on standard output, and nothing else', async () => {
  const planned = JSON.parse((await restore('-o', target, '--dry-run', '--json')).stdout);
  expect(planned).toMatchObject({ schema: 'virtnbd-restore', version: 1, plan: { point: '1795421522' }, images: [] });
  const done = JSON.parse((await restore('-o', target, '--json', '--verify')).stdout);
  expect(done).toMatchObject({ images: [{ disk: 'vda', path: join(target, 'disk.qcow2'), holes: [] }] });
});

test('--until takes a date, and an unknown point is refused before anything is made', async () => {
  expect((await restore('-o', target, '-u', '2026-11-23 08:11:58', '-n')).code).toBe(0);
  expect(await restored()).toContain('vmconfig.virtnbdbackup.0.xml');
  await rm(target, { recursive: true });
  const { code, stderr } = await restore('-o', target, '--until', 'virtnbdbackup.9');
  expect([code, stderr, await restored()]).toEqual([1, expect.stringContaining('virtnbdbackup.2 ('), []]);
});

test('a sequence of files makes an image that is named after the disk', async () => {
  expect((await restore('-o', target, '-s', `vda.full.data,${INC1}`)).code).toBe(0);
  expect(await restored()).toEqual(['vda.qcow2']);
  const { code, stderr } = await restore('-o', target, '-s', INC1, '--until', 'copy');
  expect([code, stderr]).toEqual([2, expect.stringContaining('--until')]);
});

test('damage ends the restore with 1 and says what to do; --salvage restores what is left, and ends with 3', async () => {
  const folder = await damaged();
  const refused = await restore('-i', folder, '-o', target);
  expect([refused.code, await restored()]).toEqual([1, []]);
  expect(refused.stderr).toMatch(/vda\.inc\.virtnbdbackup\.1\.data.*--until virtnbdbackup\.0.*--salvage/s);
  const salvaged = await restore('-i', folder, '-o', target, '--salvage');
  expect(salvaged.code, salvaged.stderr).toBe(3);
  expect(salvaged.stderr).toMatch(/disk vda, bytes \d+ to \d+: what the damaged file says/);
  const { holes } = JSON.parse(await readFile(join(target, 'disk.qcow2.holes.json'), 'utf8'));
  expect(holes.length).toBeGreaterThan(0);
});

test.each([
  ['-a', 'verify'],
  ['-o', 'verify'],
])('%s %s compares every checksum', async (...action) => {
  const sound = await restore(...action);
  expect([sound.code, sound.stderr]).toEqual([0, expect.stringContaining(`${INC1}: ok (adler32)`)]);
  const { code, stderr } = await restore('-i', await damaged(), ...action);
  expect([code, stderr]).toEqual([1, expect.stringMatching(/spoils virtnbdbackup\.1, /)]);
});

describe.skipIf(requires('virtnbdbackup').skip)('beside the established tool', () => {
  test('-o dump prints the same headers', async () => {
    const args = ['-i', fixture, '-o', 'dump', '-L', join(work.path, 'theirs.log')];
    const { stdout, stderr } = await established('virtnbdrestore', args);
    const theirs = JSON.parse(/^\[$.*^\]$/ms.exec(`${stdout}\n${stderr}`)?.[0] ?? 'null');
    const ours = await restore('-o', 'dump');
    expect([ours.code, ours.stderr]).toEqual([0, '']);
    expect(JSON.parse(ours.stdout)).toEqual(theirs);
    expect((await restore('-a', 'dump')).stdout).toBe(ours.stdout);
  });
});

test.each([
  ['a device without --yes, where nobody can be asked', ['--to-device', 'vda=/dev/null'], '--yes'],
  ['a device for no disk', ['--to-device', '/dev/null'], 'vda=/path'],
  ['one device for two disks', ['--to-device', 'vda=/dev/x', '--to-device', 'vdb=/dev/x'], 'more than once'],
  ['a format that nobody knows', ['--format', 'qcow9'], 'qcow9'],
])('%s is wrong usage', async (_what, args, hint) => {
  const { code, stderr } = await restore('-o', target, ...args);
  expect([code, stderr, await restored()]).toEqual([2, expect.stringContaining(hint), []]);
});

test('an existing image is kept without --force, and replaced with it', async () => {
  expect((await restore('-o', target, '-u', 'virtnbdbackup.0')).code).toBe(0);
  const { code, stderr } = await restore('-o', target);
  expect([code, stderr]).toEqual([1, expect.stringContaining('--force')]);
  expect((await restore('-o', target, '--force')).code).toBe(0);
});
