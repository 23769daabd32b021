import { execFile } from 'node:child_process';
import { mkdir, readdir, rename, symlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import { LocalHost, makeRunFolder } from '../src/index.ts';
import { tempFolder } from './temp.ts';

const host = new LocalHost();
const module = new URL('../src/index.ts', import.meta.url).href;
const script = `const { LocalHost, makeRunFolder } = await import(${JSON.stringify(module)});
  const path = await makeRunFolder(new LocalHost(), process.argv[1], 'run.');
  process.stdout.write(path, () => process.kill(process.pid, 'SIGKILL'));`;

/** The folder of a process that was killed; something lies in it. */
async function leftBehind(parent: string): Promise<string> {
  const args = ['--input-type=module', '-e', script, '--', parent];
  const path = await new Promise<string>((resolve) => {
    execFile(process.execPath, args, (error, stdout) => resolve(error?.signal === 'SIGKILL' ? stdout : ''));
  });
  expect(path).not.toBe('');
  await writeFile(join(path, 'socket'), '');
  return path;
}

test('the folder of a run that was killed is removed by the next one; that of a living one stays', async () => {
  const parent = await tempFolder();
  const living = await makeRunFolder(host, parent, 'run.');
  const dead = await leftBehind(parent);
  expect(await readdir(parent)).toEqual([basename(living), basename(dead)].sort());
  const own = await makeRunFolder(host, parent, 'run.');
  expect(await readdir(parent)).toEqual([basename(living), basename(own)].sort());
});

test('what another prefix, another boot, or no run has made stays, and so does a link in the place of a folder', async () => {
  const parent = await tempFolder();
  const dead = basename(await leftBehind(parent));
  const [, pid = '', start = '', place = '', random = ''] = dead.split('.');
  const target = join(await tempFolder(), 'target');
  await mkdir(target);
  await rename(join(parent, dead), join(parent, `other.${dead}`));
  await mkdir(join(parent, ['run', pid, start, place.replaceAll(/./g, '0'), random].join('.')));
  await mkdir(join(parent, `run.${pid}.${random}`));
  await symlink(target, join(parent, dead));
  const before = await readdir(parent);
  const own = basename(await makeRunFolder(host, parent, 'run.'));
  expect((await readdir(parent)).filter((name) => name !== own)).toEqual(before);
});

test('a process of the same number that started later is another one', async () => {
  const parent = await tempFolder();
  const [, pid = '', start = '', ...rest] = basename(await makeRunFolder(host, parent, 'run.')).split('.');
  const earlier = ['run', pid, String(Number(start) - 1), ...rest].join('.');
  await mkdir(join(parent, earlier));
  await makeRunFolder(host, parent, 'run.');
  expect(await readdir(parent)).not.toContain(earlier);
});
