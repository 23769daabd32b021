import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tempFolder } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import { run } from '../src/commands.ts';
import { Scenario } from '../src/scenario.ts';

const MIB = 1 << 20;

test('virtnbdbackup without a libvirt to talk to exits 1 and says what to do', async () => {
  await using work = await tempFolder();
  const uri = `qemu:///session?socket=${work.path}/none`;
  const { code, stderr } = await run('virtnbdbackup', ['-U', uri, '-d', 'vm1', '-o', join(work.path, 'backup')]);
  expect(code).toBe(1);
  expect(stderr).toContain('virsh -c');
  expect(await readdir(work.path)).toEqual([]);
});

test('what cannot be done is refused with a message that says what to do, and leaves nothing', async () => {
  await using scenario = await Scenario.start([{ target: 'vda' }, { target: 'vdb', format: 'raw' }]);
  const { vm, env, work, folder } = scenario;
  const refusals: [string[], string][] = [
    [['-d', 'vm2', '-o', folder], 'vm2'],
    [['-d', vm.name, '-o', folder, '-i', 'vdz'], 'it has vda, vdb'],
    [['-d', vm.name, '-o', folder, '-l', 'inc'], '-l full'],
    [['-d', vm.name, '-o', folder, '-i', 'vdb'], 'raw image'],
    [['-d', vm.name, '-o', join(work.path, 'file', 'folder')], 'file'],
  ];
  await writeFile(join(work.path, 'file'), '');
  for (const [args, hint] of refusals) {
    const { code, stderr } = await run('virtnbdbackup', args, env);
    expect([code, stderr]).toEqual([1, expect.stringContaining(hint)]);
  }
  expect(await vm.checkpoints()).toEqual([]);
  expect(await vm.jobActive()).toBe(false);
});

test('a folder that holds a backup takes no second full, and none of another VM; an increment without a disk says so', async () => {
  await using scenario = await Scenario.start([{ target: 'vda' }, { target: 'vdb' }]);
  const { env, libvirt, folder } = scenario;
  await scenario.backup('full', 'virtnbdbackup.0');
  const other = await libvirt.createVm({ name: 'other', disks: [{ target: 'vda' }, { target: 'vdb' }] });
  for (const [args, hint] of [
    [scenario.backupArgs('full'), 'already holds a backup'],
    [scenario.backupArgs('copy'), 'already holds a backup'],
    [['-d', other.name, '-l', 'inc', '-o', folder], 'a folder of its own'],
  ] as const) {
    const { code, stderr } = await run('virtnbdbackup', args, env);
    expect([code, stderr]).toEqual([1, expect.stringContaining(hint)]);
  }
  await scenario.vm.write('vda', 0, MIB, 0x11);
  await scenario.keepReference('virtnbdbackup.1', ['vda']);
  const { stderr } = await scenario.backupOnly('inc', '-x', 'vdb');
  expect(stderr).toMatch(/WARN.*disk vdb, which the restore point virtnbdbackup.0 has, is not in this backup/);
  await scenario.backup('inc', 'virtnbdbackup.2');
  await scenario.expectAllPointsExact();
});

test('checkpoints that are not ours are left alone, and keep a full from mixing with them', async () => {
  await using scenario = await Scenario.start();
  await scenario.vm.virsh('checkpoint-create-as', 'by-hand');
  const { code, stderr } = await scenario.tryBackup('full');
  expect([code, stderr]).toEqual([1, expect.stringContaining('by-hand')]);
  await scenario.backup('copy', 'copy');
  expect(await scenario.vm.checkpoints()).toEqual(['by-hand']);
});

test('a restore into a place that is taken, of an unknown point or disk, or from no backup, exits 1', async () => {
  await using scenario = await Scenario.start([{ target: 'vda' }, { target: 'vdaa' }]);
  await scenario.backup('full', 'virtnbdbackup.0');
  const taken = await scenario.restore('virtnbdbackup.0');
  const empty = join(scenario.work.path, 'empty');
  await mkdir(empty);
  const target = join(scenario.work.path, 'target');
  for (const [args, hint] of [
    [['-i', scenario.folder, '-o', taken], 'there already'],
    [['-i', scenario.folder, '-o', target, '--until', 'virtnbdbackup.7'], 'virtnbdbackup.0'],
    [['-i', scenario.folder, '-o', target, '-d', 'vd'], 'it has vda, vdaa'],
    [['-i', empty, '-o', target], 'no restore point'],
    [['-i', join(empty, 'nowhere'), '-o', target], 'nowhere'],
  ] as const) {
    const { code, stderr } = await run('virtnbdrestore', args, scenario.env);
    expect([code, stderr]).toEqual([1, expect.stringContaining(hint)]);
  }
  const one = await scenario.restore('virtnbdbackup.0', '-d', 'vdaa');
  expect((await readdir(one)).filter((name) => name.endsWith('qcow2'))).toEqual([scenario.imageName('vdaa')]);
});
