import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestVm } from '@virtnbd/test-kit';
import { giveToDaemon, waitFor } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import { run, start } from '../src/commands.ts';
import { difference } from '../src/images.ts';
import { Scenario } from '../src/scenario.ts';

const MIB = 1 << 20;

/** Takes the VM off, changes its definition, and starts it again. */
async function redefine(scenario: Scenario, vm: TestVm, change: (xml: string) => string, ...flags: string[]) {
  await vm.destroy();
  const file = join(scenario.work.path, 'redefined.xml');
  await writeFile(file, change(await vm.xml({ inactive: true })));
  if (flags.length > 0) await vm.virsh('undefine', ...flags);
  await scenario.libvirt.virsh('define', file);
  await vm.start();
}

async function expectRefused(scenario: Scenario, level: string, hint: string): Promise<void> {
  const { code, stderr } = await scenario.tryBackup(level);
  expect([code, stderr]).toEqual([1, expect.stringContaining(hint)]);
}

test('disks whose images were exchanged are saved whole, as their bitmaps are those of the other', async () => {
  await using scenario = await Scenario.start([{ target: 'vda' }, { target: 'vdb' }]);
  const { vm } = scenario;
  await scenario.backup('full', 'virtnbdbackup.0');
  await vm.write('vda', MIB, MIB, 0x11);
  const [a = '', b = ''] = vm.disks.map(({ path }) => path);
  await redefine(scenario, vm, (xml) => xml.replace(a, '@').replace(b, a).replace('@', b));
  const { stderr } = await scenario.backup('inc', 'virtnbdbackup.1');
  expect(stderr.match(/WARN.*all of it is saved/g)).toHaveLength(2);
  for (const disk of ['vda', 'vdb']) {
    const target = await scenario.restore('virtnbdbackup.1', '-d', disk);
    const [image = ''] = (await readdir(target)).filter((name) => name.endsWith('.qcow2'));
    expect(await difference(join(target, image), scenario.reference('virtnbdbackup.1', disk)), disk).toBeNull();
  }
});

test('after an external snapshot, and after its commit, the next increment is exact', async () => {
  await using scenario = await Scenario.start();
  const { vm } = scenario;
  await vm.write('vda', 0, MIB, 0x11);
  await scenario.backup('full', 'virtnbdbackup.0');
  await vm.virsh('snapshot-create-as', '--disk-only', '--no-metadata', '--atomic', '--name', 'over');
  await vm.write('vda', MIB, MIB, 0x22);
  await scenario.backup('inc', 'virtnbdbackup.1');
  await vm.write('vda', 2 * MIB, MIB, 0x33);
  await vm.virsh('blockcommit', 'vda', '--active', '--pivot', '--wait');
  await vm.write('vda', 3 * MIB, MIB, 0x44);
  await scenario.backup('inc', 'virtnbdbackup.2');
  for (const point of ['virtnbdbackup.0', 'virtnbdbackup.1', 'virtnbdbackup.2']) {
    // A restored image has the name of the one that was on top then.
    const target = await scenario.restore(point);
    const [image = ''] = (await readdir(target)).filter((name) => !name.endsWith('.xml'));
    expect(await difference(join(target, image), scenario.reference(point, 'vda')), point).toBeNull();
  }
});

test('where libvirt has forgotten the checkpoints, an increment goes on, and a full begins anew', async () => {
  await using scenario = await Scenario.start();
  const { vm } = scenario;
  await vm.write('vda', 0, MIB, 0x11);
  await scenario.backup('full', 'virtnbdbackup.0');
  await vm.write('vda', MIB, MIB, 0x22);
  await redefine(scenario, vm, (xml) => xml, '--checkpoints-metadata');
  await scenario.backup('inc', 'virtnbdbackup.1');
  await vm.write('vda', 2 * MIB, MIB, 0x33);
  await redefine(scenario, vm, (xml) => xml, '--checkpoints-metadata');
  await using fresh = await Scenario.copyOf(scenario);
  await fresh.backup('full', 'virtnbdbackup.0');
  await vm.write('vda', 3 * MIB, MIB, 0x44);
  await fresh.backup('inc', 'virtnbdbackup.1');
  await scenario.expectAllPointsExact();
  await fresh.expectAllPointsExact();
});

test('bitmaps of another chain, which libvirt has forgotten too, are found out: the increment is exact', async () => {
  await using scenario = await Scenario.start([{ target: 'vda', size: '16M' }]);
  const { vm } = scenario;
  await vm.write('vda', 0, MIB, 0x11);
  await scenario.backup('full', 'virtnbdbackup.0');
  await vm.write('vda', 4 * MIB, 3 * 65536, 0x22);
  await using rotated = await Scenario.copyOf(scenario);
  await rotated.backupOnly('full');
  await vm.write('vda', 8 * MIB, MIB, 0x33);
  await redefine(scenario, vm, (xml) => xml, '--checkpoints-metadata');
  // The first attempt defines the checkpoint again and fails: the second must not believe it either.
  expect((await scenario.tryBackup('inc', '--scratchdir', '/proc')).code).toBe(1);
  const { stderr } = await scenario.backup('inc', 'virtnbdbackup.1');
  expect(stderr).toMatch(/WARN.*196608 bytes differ from virtnbdbackup.0/);
  await vm.write('vda', 2 * MIB, MIB, 0x44);
  await scenario.backup('inc', 'virtnbdbackup.2');
  await scenario.expectAllPointsExact();
});

test('after a disk was copied to another image, and restored in place, the next increments are exact', async () => {
  await using scenario = await Scenario.start([{ target: 'vda', size: '16M' }]);
  const { vm, libvirt } = scenario;
  await vm.write('vda', 0, MIB, 0x11);
  await scenario.backup('full', 'virtnbdbackup.0');
  await vm.write('vda', MIB, MIB, 0x22);
  const copy = join(libvirt.workFolder, 'copied.qcow2');
  await vm.virsh('blockcopy', 'vda', copy, '--format', 'qcow2', '--pivot', '--wait', '--transient-job');
  await vm.write('vda', 2 * MIB, MIB, 0x33);
  const copied = await scenario.backup('inc', 'virtnbdbackup.1');
  expect(copied.stderr).toMatch(/WARN.*has the image .*copied.qcow2.*all of it is saved/);
  await vm.destroy();
  const folder = await scenario.restore('virtnbdbackup.0');
  const { path } = await vm.imagePath('vda');
  await copyFile(join(folder, scenario.imageName('vda')), path);
  await giveToDaemon(path);
  await vm.start();
  await vm.write('vda', 3 * MIB, MIB, 0x44);
  await scenario.backup('inc', 'virtnbdbackup.2');
  for (const point of ['virtnbdbackup.1', 'virtnbdbackup.2']) {
    const image = join(await scenario.restore(point), 'copied.qcow2');
    expect(await difference(image, scenario.reference(point, 'vda')), point).toBeNull();
  }
});

test('a chain that a full of the same second has ended does not go on', async () => {
  await using scenario = await Scenario.start([{ target: 'vda', size: '4M' }]);
  const { vm } = scenario;
  await using rotated = await Scenario.copyOf(scenario);
  await scenario.backupOnly('full');
  await rotated.backupOnly('full');
  await vm.write('vda', 0, MIB, 0x11);
  await expectRefused(scenario, 'inc', 'full backup into a new folder');
});

test('a full that cannot begin leaves the chain before as it is', async () => {
  await using scenario = await Scenario.start();
  await scenario.backup('full', 'virtnbdbackup.0');
  await using rotated = await Scenario.copyOf(scenario);
  const taken = join(scenario.work.path, 'precious');
  await writeFile(taken, 'precious');
  for (const args of [
    ['--scratchdir', join(scenario.work.path, 'nowhere')],
    ['--scratchdir', '/proc'],
    ['-f', taken],
    ['-f', `/var/tmp/${'x'.repeat(120)}`],
  ]) {
    const { code, stderr } = await rotated.tryBackup('full', ...args);
    expect([args, code], stderr).toEqual([args, 1]);
  }
  expect(await readFile(taken, 'utf8')).toBe('precious');
  await scenario.vm.write('vda', 0, MIB, 0x11);
  await scenario.backup('inc', 'virtnbdbackup.1');
  await scenario.expectAllPointsExact();
});

test('a folder that goes away in mid-copy leaves no job and no checkpoint', async () => {
  await using scenario = await Scenario.start([{ target: 'vda', size: '1G' }]);
  await scenario.vm.write('vda', 0, 512 * MIB, 0x11);
  const command = start('virtnbdbackup', scenario.backupArgs('full'), scenario.env);
  await waitFor(() => scenario.vm.jobActive(), { what: 'The job' });
  // The command still makes files: a folder that was emptied may not be empty any more.
  await rm(scenario.folder, { recursive: true, force: true, maxRetries: 20 });
  expect((await command.ended).code).toBe(1);
  expect(await scenario.vm.jobActive()).toBe(false);
  expect(await scenario.vm.checkpoints()).toEqual([]);
});

test('a folder in which the last files cannot be written leaves no job', async () => {
  await using scenario = await Scenario.start();
  await mkdir(scenario.folder, { recursive: true });
  await writeFile(join(scenario.folder, 'checkpoints'), 'in the way');
  const failed = await scenario.tryBackup('full');
  expect(failed.code).toBe(1);
  expect(await scenario.vm.jobActive()).toBe(false);
  await rm(join(scenario.folder, 'checkpoints'));
  await scenario.vm.write('vda', 0, MIB, 0x11);
  await scenario.backup('inc', 'virtnbdbackup.1');
  await scenario.expectAllPointsExact();
});

test('an intent that lies in the folder has no file removed that no run of ours would make', async () => {
  await using scenario = await Scenario.start();
  await scenario.backup('full', 'virtnbdbackup.0');
  const victim = join(scenario.work.path, 'victim');
  await copyFile('/etc/hostname', victim).catch(() => writeFile(victim, 'x'));
  const name = 'virtnbdbackup.1.intent.json';
  const intent = {
    ...{ format: 'virtnbd-intent', version: 1, run: '0'.repeat(32), started: '2026-01-01T00:00:00Z' },
    owner: { hostname: 'x', bootId: 'x', pid: 1, startTime: 1 },
    ...{ point: 'virtnbdbackup.1', level: 'inc', domain: { name: scenario.vm.name, uuid: scenario.vm.uuid } },
    ...{ checkpoint: 'virtnbdbackup.1', checkpointTime: null, parent: 'virtnbdbackup.0', parentCheckpoint: null },
    ...{
      checkpoints: [],
      files: [],
      checkpointFolder: null,
      superseded: [],
      adopted: [],
      piped: null,
      filesRolledBack: false,
    },
    job: { socketPath: victim, scratchFiles: [victim, scenario.work.path] },
  };
  await writeFile(join(scenario.folder, name), JSON.stringify(intent));
  await scenario.vm.write('vda', 0, MIB, 0x11);
  await scenario.backup('inc', 'virtnbdbackup.1');
  expect((await readFile(victim)).length).toBeGreaterThan(0);
  await scenario.expectAllPointsExact();
});

test('a libvirt daemon that restarts in mid-copy costs nothing', async () => {
  await using scenario = await Scenario.start([{ target: 'vda', size: '1G' }]);
  await scenario.vm.write('vda', 0, 512 * MIB, 0x11);
  await scenario.keepReference('virtnbdbackup.0');
  const command = start('virtnbdbackup', scenario.backupArgs('full', '-v'), scenario.env);
  await waitFor(() => command.stderr().includes('step: copying'), { what: 'The copy' });
  await scenario.libvirt.restartDaemon();
  const { code, stderr } = await command.ended;
  if (code !== 0) {
    expect(stderr).toContain('ERROR');
    await run('virtnbdbackup', scenario.backupArgs('full'), scenario.env);
  }
  await scenario.expectAllPointsExact();
  expect(await scenario.vm.jobActive()).toBe(false);
});
