import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const bin = fileURLToPath(new URL('../bin/virtnbdbackup.js', import.meta.url));
const run = (...args: string[]) => spawnSync(process.execPath, [bin, ...args], { encoding: 'utf8' });

test('--help shows the options, examples and exit codes', () => {
  const { status, stdout } = run('--help');
  expect(status).toBe(0);
  for (const part of ['--level', 'EXAMPLES', '-l inc', 'Exit codes']) expect(stdout).toContain(part);
});

test.each(['-V', '--version'])('%s shows the version', (option) => {
  expect(run(option).stdout).toMatch(/^virtnbdbackup \d+\.\d+\.\d+/);
});

test.each([
  ['no VM', ['-o', '/tmp/x'], 'domain'],
  ['no folder', ['-d', 'vm1'], 'output'],
  ['a level that does not exist', ['-d', 'vm1', '-o', '/tmp/x', '-l', 'everything'], 'level'],
  ['an option that does not exist', ['-d', 'vm1', '-o', '/tmp/x', '--fast'], '--fast'],
  ['a number of workers that is none', ['-d', 'vm1', '-o', '/tmp/x', '-w', 'many'], 'worker'],
  ['no worker at all', ['-d', 'vm1', '-o', '/tmp/x', '-w', '0'], 'worker'],
  ['both -i and -x', ['-d', 'vm1', '-o', '/tmp/x', '-i', 'vda', '-x', 'vdb'], '-x'],
  ['two modes at once', ['-d', 'vm1', '-o', '/tmp/x', '-p', '-k'], '--killonly'],
  ['a rate that is none', ['-d', 'vm1', '-o', '/tmp/x', '--bwlimit', 'fast'], 'fast'],
  ['a rate of nothing', ['-d', 'vm1', '-o', '/tmp/x', '--bwlimit', '0'], 'never end'],
  ['a proof of more than all', ['-d', 'vm1', '-o', '/tmp/x', '--prove=101'], 'prove'],
  ['JSON lines into the backup', ['-d', 'vm1', '-o', '-', '--json'], '--json'],
  ['a proof through a pipe', ['-d', 'vm1', '-o', '-', '--prove'], '--prove'],
])('%s is wrong usage: exit 2, and a hint', (_name, args, hint) => {
  const { status, stderr } = run(...args);
  expect([status, stderr]).toEqual([2, expect.stringContaining(hint)]);
});

// Past the command line the URI is looked at: that it is refused shows that the line was understood.
test.each([
  [['-d', 'vm1', '-o', '/tmp/x', '-z']],
  [['-d', 'vm1', '-z', '-o', '/tmp/x', '-l', 'full']],
  [['-d', 'vm1', '-z', '5', '-o/tmp/x', '--lev', 'inc']],
  [['--domain=vm1', '--output', '/tmp/x', '--compress=3', '-nv']],
])('a command line of the established tool is understood: %j', (args) => {
  const { status, stderr } = run(...args, '-U', 'nonsense:///');
  expect([status, stderr]).toEqual([1, expect.stringContaining('nonsense:///')]);
});
