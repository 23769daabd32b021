import { execFile } from 'node:child_process';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { requires, waitFor } from '@virtnbd/test-kit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { run, start } from '../src/commands.ts';
import { difference } from '../src/images.ts';
import { Scenario } from '../src/scenario.ts';

const execute = promisify(execFile);
const MIB = 1 << 20;
let scenario: Scenario;

beforeAll(async () => {
  scenario = await Scenario.start([{ target: 'vda', size: '1G' }]);
  await scenario.vm.write('vda', 0, 512 * MIB, 0x11);
  await scenario.backup('full', 'virtnbdbackup.0');
});
afterAll(() => scenario[Symbol.asyncDispose]());

const args = (target: string): string[] => ['-i', scenario.folder, '-o', target, '-n'];
const images = async (target: string): Promise<string[]> =>
  (await readdir(target)).filter((name) => name.includes('qcow2'));

test.each(['SIGTERM', 'SIGINT'] as const)('a restore that is ended by %s leaves no image', async (signal) => {
  const target = join(scenario.work.path, signal);
  const command = start('virtnbdrestore', args(target), scenario.env);
  await waitFor(async () => (await images(target).catch(() => [])).length > 0, { what: 'The image' });
  command.kill(signal);
  expect((await command.ended).code).toBe({ SIGTERM: 143, SIGINT: 130 }[signal]);
  expect(await images(target)).toEqual([]);
});

test('a restore that is killed leaves nothing that looks finished, and no server; the next one clears that away', async () => {
  const target = join(scenario.work.path, 'killed');
  const command = start('virtnbdrestore', args(target), scenario.env);
  await waitFor(async () => (await images(target).catch(() => [])).length > 0, { what: 'The image' });
  command.kill('SIGKILL');
  await command.ended;
  expect(await images(target)).toEqual([`${scenario.imageName('vda')}.partial`]);
  const servers = async (): Promise<string> => (await execute('ps', ['-eo', 'args'])).stdout;
  await waitFor(async () => !(await servers()).includes(target), { what: 'The end of qemu-nbd' });
  const again = await run('virtnbdrestore', args(target), scenario.env);
  expect([again.code, again.stderr]).toEqual([0, expect.stringMatching(/interrupted restore had left .*removed/)]);
  const image = join(target, scenario.imageName('vda'));
  expect(await difference(image, scenario.reference('virtnbdbackup.0', 'vda'))).toBeNull();
  expect((await readdir(target)).sort()).toEqual([scenario.imageName('vda'), 'vmconfig.virtnbdbackup.0.xml']);
});

test('of two restores into one folder one is refused, and the other is exact', async () => {
  const target = join(scenario.work.path, 'twice');
  const first = start('virtnbdrestore', args(target), scenario.env);
  await waitFor(async () => (await images(target).catch(() => [])).length > 0, { what: 'The image' });
  expect((await run('virtnbdrestore', args(target), scenario.env)).code).toBe(1);
  expect((await first.ended).code).toBe(0);
  const image = join(target, scenario.imageName('vda'));
  expect(await difference(image, scenario.reference('virtnbdbackup.0', 'vda'))).toBeNull();
});

test('a full target ends the restore with its reason, and leaves no image', async (context) => {
  context.skip(requires('root').skip, 'mounting a small file system needs root');
  const target = join(scenario.work.path, 'full');
  await mkdir(target);
  await execute('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', target]);
  try {
    const { code, stderr } = await run('virtnbdrestore', args(target), scenario.env);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/no space left for .*partial/)]);
    expect(await images(target)).toEqual([]);
  } finally {
    await execute('umount', [target]);
  }
});

test("another VM's configuration in the target is not overwritten", async () => {
  const target = join(scenario.work.path, 'taken');
  await mkdir(target);
  await writeFile(join(target, 'vmconfig.virtnbdbackup.0.xml'), '<domain/>');
  const { code, stderr } = await run('virtnbdrestore', args(target), scenario.env);
  expect([code, stderr]).toEqual([1, expect.stringContaining('vmconfig.virtnbdbackup.0.xml is there already')]);
  expect(await images(target)).toEqual([]);
});
