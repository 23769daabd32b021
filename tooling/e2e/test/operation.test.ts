import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run as runProgram } from '@virtnbd/test-kit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { run, succeed } from '../src/commands.ts';
import { Scenario } from '../src/scenario.ts';

const MIB = 1 << 20;
let scenario: Scenario;

beforeAll(async () => {
  scenario = await Scenario.start([{ target: 'vda' }, { target: 'vdb', size: '8M' }]);
  await scenario.vm.write('vda', 0, 4 * MIB, 0x11);
  await scenario.backup('full', 'virtnbdbackup.0');
  await scenario.vm.write('vda', 8 * MIB, 2 * MIB, 0x22);
  await scenario.vm.zero('vda', MIB, MIB, { unmap: true });
});
afterAll(() => scenario?.[Symbol.asyncDispose]());

const elsewhere = (): string => join(scenario.work.path, 'not there');
const argsInto = (folder: string, level: string, ...args: string[]): string[] => [
  ...['-d', scenario.vm.name, '-l', level, '-o', folder, '-n', ...args],
];

function events(stdout: string): Record<string, unknown>[] {
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

test('a dry run tells the plan and leaves nothing, not even a folder', async () => {
  const { stderr } = await succeed('virtnbdbackup', argsInto(elsewhere(), 'full', '--dry-run'), scenario.env);
  expect(stderr).toContain('would make the restore point virtnbdbackup.0');
  expect(stderr).toContain('would remove the chain of checkpoints virtnbdbackup.0');
  expect(existsSync(elsewhere())).toBe(false);
  expect(await scenario.vm.checkpoints()).toEqual(['virtnbdbackup.0']);
  const before = await readdir(scenario.folder);
  const { stdout } = await scenario.backupOnly('inc', '--dry-run', '--json');
  expect(events(stdout).at(-1)).toMatchObject({
    event: 'forecast',
    level: 'inc',
    parent: 'virtnbdbackup.0',
    disks: [
      { disk: 'vda', bytes: 3 * MIB, whole: false },
      { disk: 'vdb', bytes: 0, whole: false },
    ],
  });
  expect(await readdir(scenario.folder)).toEqual(before);
});

test('-p prints how many bytes have changed; -T makes no increment below its threshold', async () => {
  expect((await scenario.backupOnly('inc', '-p')).stdout).toBe(`${3 * MIB}\n`);
  const { stderr } = await scenario.backupOnly('inc', '-T', '4M');
  expect(stderr).toContain('no backup is made');
  expect(await scenario.points()).toEqual(['virtnbdbackup.0']);
});

test('-s begins a job without a checkpoint and prints its exports; -k ends it, and only a backup job', async () => {
  const { stdout } = await succeed('virtnbdbackup', argsInto(elsewhere(), 'copy', '-s'), scenario.env);
  const uris = stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '');
  expect(uris).toHaveLength(2);
  for (const uri of uris) expect((await runProgram('nbdinfo', ['--size', uri])).stdout).toMatch(/^\d+\n$/);
  expect(await scenario.vm.jobActive()).toBe(true);
  expect(await scenario.vm.checkpoints()).toEqual(['virtnbdbackup.0']);
  const refused = await run('virtnbdbackup', argsInto(elsewhere(), 'copy'), scenario.env);
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('backup job already')]);
  await succeed('virtnbdbackup', argsInto(elsewhere(), 'copy', '-k'), scenario.env);
  expect(await scenario.vm.jobActive()).toBe(false);
  expect(existsSync(decodeURIComponent(uris[0]?.split('socket=')[1] ?? '/'))).toBe(false);
  const again = await succeed('virtnbdbackup', argsInto(elsewhere(), 'copy', '-k'), scenario.env);
  expect(again.stderr).toContain('no backup job');
});

test('nbdinfo tells the same extents as the client, whole and for changes', async () => {
  for (const level of ['copy', 'diff']) {
    const told: unknown[] = [];
    for (const [index, args] of [[], ['-q']].entries()) {
      const folder = level === 'diff' ? scenario.folder : join(scenario.work.path, `extents-${index}`);
      const { stdout } = await succeed('virtnbdbackup', argsInto(folder, level, '--json', ...args), scenario.env);
      told.push(
        events(stdout)
          .filter(({ event }) => event === 'disk')
          .map(({ disk, dataBytes, zeroBytes }) => [disk, dataBytes, zeroBytes])
          .sort(),
      );
    }
    expect(told[0]).toEqual(told[1]);
  }
});

test('--prove compares what a restore would give, and the manifest says so; --json tells what happens', async () => {
  await scenario.keepReference('virtnbdbackup.1');
  const { stdout, stderr } = await scenario.backupOnly('inc', '--prove', '--json', '--quiet');
  expect(stderr).toBe('');
  const told = events(stdout);
  expect(told.at(-1)).toMatchObject({ event: 'done', point: 'virtnbdbackup.1', level: 'inc' });
  expect(told).toContainEqual(expect.objectContaining({ event: 'proven', bytes: 72 * MIB, percent: 100 }));
  const document = await readFile(new URL('../../../apps/backup/EVENTS.md', import.meta.url), 'utf8');
  for (const { event } of told) expect(document).toContain(`\`${event}\``);
  const manifest = await readFile(join(scenario.folder, 'virtnbdbackup.1.manifest.json'), 'utf8');
  expect(JSON.parse(manifest).proof).toEqual({ percent: 100, seed: null, bytes: 72 * MIB });
  await scenario.backupOnly('inc', '--prove=10');
  const sampled = JSON.parse(await readFile(join(scenario.folder, 'virtnbdbackup.2.manifest.json'), 'utf8'));
  expect(sampled.proof).toMatchObject({ percent: 10, seed: expect.stringMatching(/^[0-9a-f]{32}$/) });
  await scenario.expectAllPointsExact();
});

test('a rate limit holds a backup to it, and the backup is exact', async () => {
  await scenario.keepReference('virtnbdbackup.3');
  await scenario.vm.write('vda', 0, MIB, 0x44);
  await scenario.keepReference('virtnbdbackup.3');
  await scenario.backupOnly('inc', '--bwlimit', '100M', '--no-sparse-detection');
  await scenario.expectAllPointsExact();
});
