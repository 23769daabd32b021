import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { sha256File, tempFolder } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import { run, succeed } from '../src/commands.ts';

const execute = promisify(execFile);
const fixtures = fileURLToPath(new URL('../../../packages/stream-format/test/fixtures', import.meta.url));
/** Folders of the newest version, and of the one that Debian 12 has. */
const newest = (folder: string): string => `established-2.47/${folder}`;
const debian = (folder: string): string => `established-1.9/${folder}`;

/** The lines of FAITHFUL.sha256: sum, file, checkpointName, … of what a folder's files hold, point by point. */
async function faithful(folder: string): Promise<{ sum: string; file: string; checkpoint: string }[]> {
  const text = await readFile(join(fixtures, folder, 'FAITHFUL.sha256'), 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => {
      const [sum = '', file = '', checkpoint = ''] = line.split(/\s+/);
      return { sum, file, checkpoint };
    });
}

/** The name of the point that a file makes: a differential goes by its time, a copy by its level. */
function pointOf(file: string, checkpoint: string): string {
  const [, level, ident = ''] = file.split('.');
  if (level === 'diff') return ident;
  return level === 'copy' ? 'copy' : checkpoint;
}

async function restoredSum(folder: string, point: string, disk: string): Promise<string> {
  await using work = await tempFolder();
  const target = join(work.path, 'restored');
  const args = ['-i', join(fixtures, folder), '-o', target, '-n', '-d', disk, '--until', point];
  await succeed('virtnbdrestore', args, { HOME: work.path });
  const [image = ''] = (await readdir(target)).filter((name) => !name.endsWith('.xml'));
  const raw = join(work.path, 'raw');
  await execute('qemu-img', ['convert', '-O', 'raw', join(target, image), raw]);
  return sha256File(raw);
}

test.each([
  ...['plain-full-inc-inc-diff', 'lz4-with-zeroed-ranges', 'lz4-cut-frames', 'offline-diff', 'offline-copy'].map(
    newest,
  ),
  ...['lost-bitmap-inc-is-full', 'two-disks-one-raw'].map(newest),
])('every point of %s is restored as its files hold it', async (folder) => {
  for (const { sum, file, checkpoint } of await faithful(folder)) {
    const disk = file.split('.')[0] ?? '';
    expect(await restoredSum(folder, pointOf(file, checkpoint), disk), file).toBe(sum);
  }
});

test.each(['plain-full-inc-diff', 'lz4-full-inc', 'lz4-level-9', 'lz4-cut-frames', 'offline-copy'])(
  'every point of %s, of the version that Debian 12 has, is restored as the disk was',
  async (folder) => {
    const files = await readdir(join(fixtures, debian(folder)));
    const lines = (await readFile(join(fixtures, debian(folder), 'EXPECTED.sha256'), 'utf8')).trim().split('\n');
    for (const line of lines) {
      const [sum, name = ''] = line.split(' ');
      // The name of a differential holds its time, which nobody could know beforehand.
      const file = files.find((each) => each === name || (name.includes('*') && each.startsWith('vda.diff.'))) ?? '';
      const [, checkpoint = 'virtnbdbackup.0'] = /\.inc\.(.+)\.data$/.exec(file) ?? [];
      expect(await restoredSum(debian(folder), pointOf(file, checkpoint), 'vda'), file).toBe(sum);
    }
  },
);

test.each([
  [newest('two-disks-one-raw'), 'vdaa'],
  [newest('type-raw-full'), 'vda'],
])('the raw image of %s, %s, is restored as it is', async (folder, disk) => {
  const expected = await readFile(join(fixtures, folder, 'EXPECTED.sha256'), 'utf8');
  expect(expected).toContain(await restoredSum(folder, 'virtnbdbackup.0', disk));
});

test('a folder that an interrupted run left holds nothing to restore', async () => {
  await using work = await tempFolder();
  const args = ['-i', join(fixtures, newest('interrupted-partial')), '-o', join(work.path, 'restored'), '-n'];
  const { code, stderr } = await run('virtnbdrestore', args, { HOME: work.path });
  expect(code).toBe(1);
  expect(stderr).toContain('vda.copy.data.partial');
});
