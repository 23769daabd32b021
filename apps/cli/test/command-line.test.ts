import { spawnSync } from 'node:child_process';
import { cp, mkdir, readdir, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { fixtures, homeIn, tempFolder, virtnbd } from './support.ts';

const commands = ['backup', 'diff', 'inspect', 'map', 'restore', 'verify'];

test('--help and no command at all list the topics', async () => {
  for (const args of [['--help'], []]) {
    const { status, stdout } = await virtnbd(args);
    expect(status).toBe(0);
    for (const command of [...commands, 'plugins', 'autocomplete', 'help']) expect(stdout).toContain(`  ${command} `);
  }
});

test.each(commands)('%s has help with examples, under help, too', async (command) => {
  const own = await virtnbd([command, '--help']);
  expect([own.status, own.stdout]).toEqual([0, expect.stringContaining(`$ virtnbd ${command} `)]);
  for (const part of ['EXAMPLES', 'Exit codes']) expect(own.stdout).toContain(part);
  const help = await virtnbd(['help', command]);
  expect([help.status, help.stdout]).toEqual([0, expect.stringContaining(`$ virtnbd ${command} `)]);
});

test('--version says the version', async () => {
  expect((await virtnbd(['--version'])).stdout).toMatch(/^@virtnbd\/cli\/\d+\.\d+\.\d+ /);
});

test('backup, map and restore are the commands of their apps, with the same flags', async () => {
  for (const topic of ['backup', 'map', 'restore']) {
    const app = fileURLToPath(new URL(`../../${topic}/bin/virtnbd${topic}.js`, import.meta.url));
    const own = spawnSync(process.execPath, [app, '--help'], { encoding: 'utf8' }).stdout;
    const { stdout } = await virtnbd([topic, '--help']);
    const flagsOf = (text: string) => new Set(text.match(/--[a-z-]{4,}/g));
    expect(flagsOf(stdout)).toEqual(flagsOf(own));
  }
  const wrong = await virtnbd(['restore', '-i', '/nowhere']);
  expect([wrong.status, wrong.stderr]).toEqual([2, expect.stringContaining('output')]);
});

test('restore restores, in the established manner of command lines', async () => {
  const folder = await tempFolder();
  const input = join(fixtures, 'offline-copy');
  const log = join(folder, 'log');
  const { status, stderr } = await virtnbd(['restore', `-i${input}`, '-o', join(folder, 'out'), '--logf', log, '-n']);
  expect([status, stderr]).toEqual([0, expect.stringContaining('restored')]);
  expect(await readdir(join(folder, 'out'))).toContain('disk.qcow2');
});

test('a command that is not there: exit 2, and the nearest one is asked for', async () => {
  const { status, stderr } = await virtnbd(['inspct', '/tmp'], homeIn(await tempFolder()));
  expect([status, stderr]).toEqual([2, expect.stringContaining('inspct')]);
});

test('autocomplete knows the commands and their flags', async () => {
  const home = await tempFolder();
  const { status, stdout } = await virtnbd(['autocomplete', 'bash'], homeIn(home));
  expect([status, stdout]).toEqual([0, expect.stringContaining('virtnbd autocomplete script bash')]);
  const files = await readdir(home, { recursive: true });
  expect(files.some((file) => file.endsWith('virtnbd.bash'))).toBe(true);
});

test('a third party adds a command by a plugin, and it can be taken away again', async () => {
  const home = await tempFolder();
  const env = homeIn(home);
  const plugin = join(home, 'sample-plugin');
  const sample = dirname(fileURLToPath(import.meta.resolve('./fixtures/sample-plugin/commands.js')));
  await cp(sample, plugin, { recursive: true });
  // What installing the plugin's own dependencies would do; there is no network here.
  await mkdir(join(plugin, 'node_modules/@oclif'), { recursive: true });
  const core = fileURLToPath(new URL('../node_modules/@oclif/core', import.meta.url));
  await symlink(core, join(plugin, 'node_modules/@oclif/core'));

  const linked = await virtnbd(['plugins', 'link', '--no-install', plugin], env);
  expect([linked.status, linked.stderr]).toEqual([0, expect.any(String)]);
  expect((await virtnbd(['plugins'], env)).stdout).toContain('virtnbd-plugin-sample 1.2.3');
  expect((await virtnbd(['--help'], env)).stdout).toContain('count');
  const counted = await virtnbd(['count', 'files', fixtures, '--shout'], env);
  expect([counted.status, counted.stdout]).toEqual([0, '10 FILES\n']);
  expect((await virtnbd(['count', 'files'], env)).status).toBe(2);

  expect((await virtnbd(['plugins', 'unlink', 'virtnbd-plugin-sample'], env)).status).toBe(0);
  expect((await virtnbd(['count', 'files', fixtures], env)).status).toBe(2);
});
