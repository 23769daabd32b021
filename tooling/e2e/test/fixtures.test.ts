import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { sha256File, tempFolder } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import { run, succeed } from '../src/commands.ts';

const execute = promisify(execFile);
const fixtures = fileURLToPath(
  new URL('../../../packages/stream-format/test/fixtures/established-2.47', import.meta.url),
);

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
  'plain-full-inc-inc-diff',
  'lz4-with-zeroed-ranges',
  'lz4-cut-frames',
  'offline-diff',
  'offline-copy',
  'lost-bitmap-inc-is-full',
  'two-disks-one-raw',
])('every point of %s is restored as its files hold it', async (folder) => {
  for (const { sum, file, checkpoint } of await faithful(folder)) {
    const disk = file.split('.')[0] ?? '';
    expect(await restoredSum(folder, pointOf(file, checkpoint), disk), file).toBe(sum);
  }
});

test.each([
  ['two-disks-one-raw', 'vdaa'],
  ['type-raw-full', 'vda'],
])('the raw image of %s, %s, is restored as it is', async (folder, disk) => {
  const expected = await readFile(join(fixtures, folder, 'EXPECTED.sha256'), 'utf8');
  expect(expected).toContain(await restoredSum(folder, 'virtnbdbackup.0', disk));
});

test('a folder that an interrupted run left holds nothing to restore', async () => {
  await using work = await tempFolder();
  const args = ['-i', join(fixtures, 'interrupted-partial'), '-o', join(work.path, 'restored'), '-n'];
  const { code, stderr } = await run('virtnbdrestore', args, { HOME: work.path });
  expect(code).toBe(1);
  expect(stderr).toContain('vda.copy.data.partial');
});
