import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { tempFolder } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';

const bin = fileURLToPath(new URL('../bin/virtnbdmap.js', import.meta.url));
const run = (...args: string[]) => spawnSync(process.execPath, [bin, ...args], { encoding: 'utf8' });

test('--help shows the options, examples and exit codes', () => {
  const { status, stdout } = run('--help');
  expect(status).toBe(0);
  for (const part of ['--mount', '--hexdump', 'EXAMPLES', 'Exit codes']) expect(stdout).toContain(part);
});

test.each(['-V', '--version'])('%s shows the version', (option) => {
  expect(run(option).stdout).toMatch(/^virtnbdmap \d+\.\d+\.\d+/);
});

test.each([
  ['neither a folder nor files', [], '-f'],
  ['an option that does not exist', ['-i', '/tmp/x', '--fast'], '--fast'],
  ['a port that is none', ['-f', '/tmp/x', '-p', '70000'], 'listen-port'],
])('%s is wrong usage: exit 2, and a hint', (_name, args, hint) => {
  const { status, stderr } = run(...args);
  expect([status, stderr]).toEqual([2, expect.stringContaining(hint)]);
});

test('a backup folder that is not there is named: exit 1', async () => {
  await using work = await tempFolder();
  const { status, stderr } = run('-i', `${work.path}/none`, '--socket', `${work.path}/s`, '-L', `${work.path}/log`);
  expect([status, stderr]).toEqual([1, expect.stringContaining(`${work.path}/none`)]);
});
