import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { link, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { requires } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { isTemporaryName, LocalHost } from '../src/index.ts';
import { tempFolder } from './temp.ts';

/* What only this machine's files can be tried with; all that hosts have in common is in conformance/. */

const { files } = new LocalHost();
const protectedLinks = readFileSync('/proc/sys/fs/protected_hardlinks', 'utf8').trim() === '1';
const module = new URL('../src/index.ts', import.meta.url).href;
const prelude = `const { LocalHost } = await import(${JSON.stringify(module)}); const { files } = new LocalHost(); const argv = process.argv.slice(1);`;

/** Makes the process that of an ordinary user, once its modules are loaded: they may lie where that user cannot look. */
const asNobody = 'process.setgroups([]); process.setgid(65534); process.setuid(65534);';

/** Runs a script of another process, with `files` at hand; gives its standard output. */
async function elsewhere(script: string, args: readonly string[]): Promise<string> {
  const words = ['--input-type=module', '-e', prelude + script, '--', ...args];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  await once(child, 'close');
  return output;
}

describe('several processes', () => {
  test('shows the old or the new content, never a mixture, when it is killed', async () => {
    const folder = await tempFolder();
    const path = join(folder, 'f');
    await files.writeAtomic(path, 'A'.repeat(500_000));
    for (let round = 0; round < 15; round++) {
      const script = `process.stdout.write('go'); for (let i = 0; ; i++) await files.writeAtomic(argv[0], 'AB'[i % 2].repeat(500_000));`;
      const child = spawn(process.execPath, ['--input-type=module', '-e', prelude + script, '--', path], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await once(child.stdout, 'data');
      await sleep(Math.random() * 30);
      child.kill('SIGKILL');
      await once(child, 'close');
      expect(await readFile(path, 'utf8')).toMatch(/^(A{500000}|B{500000})$/);
      for (const name of await readdir(folder)) expect(name === 'f' || isTemporaryName(name)).toBe(true);
    }
  });

  test('lets exactly one of many processes win, with its content complete', async () => {
    const path = join(await tempFolder(), 'lock');
    const script = `const own = argv[1].repeat(10_000);
      console.log(JSON.stringify(await Promise.all([1, 2, 3, 4].map(() => files.createExclusive(argv[0], own)))))`;
    const answers = await Promise.all(
      ['a', 'b', 'c', 'd'].map(async (who) => ({
        who,
        won: JSON.parse(await elsewhere(script, [path, who])) as boolean[],
      })),
    );
    const winners = answers.filter((answer) => answer.won.includes(true));
    expect(winners.length).toBe(1);
    expect(winners[0]?.won.filter((won) => won).length).toBe(1);
    expect(await readFile(path, 'utf8')).toBe(winners[0]?.who.repeat(10_000));
  });
});

describe.skipIf(requires('root').skip)('another user', () => {
  test('forbidden to this user: PERMISSION', async () => {
    const folder = await tempFolder();
    const script = `const codes = []; const note = (e) => codes.push(e.code + ' ' + e.errno);
      await files.writeAtomic(argv[0] + '/f', 'x').catch(note); await files.list(argv[0]).catch(note); console.log(codes.join())`;
    const output = await elsewhere(asNobody + script, [folder]);
    expect(output.trim()).toBe('PERMISSION EACCES,PERMISSION EACCES');
  });

  test.runIf(protectedLinks)('a rename where hard links are forbidden still replaces nothing', async () => {
    // fs.protected_hardlinks: nobody may link root's file, but may rename it.
    const folder = await tempFolder();
    execFileSync('chmod', ['0777', folder]);
    await writeFile(join(folder, 'a'), 'a', { mode: 0o600 });
    await writeFile(join(folder, 'b'), 'b', { mode: 0o600 });
    const script = `const [folder] = argv; await files.rename(folder + '/a', folder + '/b').catch((e) => console.log(e.code));
      await files.rename(folder + '/a', folder + '/c');`;
    const output = await elsewhere(asNobody + script, [folder]);
    expect(output.trim()).toBe('EXISTS');
    expect(await readdir(folder)).toEqual(['b', 'c']);
    expect(await readFile(join(folder, 'b'), 'utf8')).toBe('b');
    expect(await readFile(join(folder, 'c'), 'utf8')).toBe('a');
  });
});

test('writes more than 2 GiB, in many chunks or in one', async () => {
  await using file = await files.open('/dev/null', 'append-new');
  const chunk = new Uint8Array(4 * 1024 * 1024);
  await file.write(Array.from({ length: 600 }, () => chunk));
  await file.write([new Uint8Array(2.5 * 1024 ** 3)]);
});

test('finishes a move that a crash cut off between link and unlink', async () => {
  const folder = await tempFolder();
  await writeFile(join(folder, 'a'), 'a');
  await link(join(folder, 'a'), join(folder, 'b'));
  await files.rename(join(folder, 'a'), join(folder, 'b'));
  expect(await readdir(folder)).toEqual(['b']);
});

test('says NO_SPACE with errno, path and what to do, and fails every later write', async () => {
  await using file = await files.open('/dev/full', 'read-write');
  const write = file.write([new Uint8Array(10)]);
  await expect(write).rejects.toMatchObject({ code: 'NO_SPACE', errno: 'ENOSPC', path: '/dev/full' });
  await expect(write).rejects.toThrow('cannot write /dev/full: no space left on the file system; free some');
  await expect(file.write([])).rejects.toMatchObject({ code: 'NO_SPACE' });
});
