import { copyFile, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { giveToDaemon, run as runProgram, TestLibvirt, type TestVm } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import { difference } from '../src/images.ts';
import { Scenario } from '../src/scenario.ts';

const MIB = 1 << 20;

/** Undefines the VM with all that libvirt knows of it, as a cluster does, and defines it anew. */
async function forget(scenario: Scenario, vm: TestVm): Promise<void> {
  await vm.destroy();
  const file = join(scenario.work.path, 'again.xml');
  await writeFile(file, await vm.xml({ inactive: true }));
  await vm.virsh('undefine', '--checkpoints-metadata');
  await scenario.libvirt.virsh('define', file);
  await vm.start();
}

test('with --checkpointdir a VM that libvirt has forgotten goes on from there, and a full begins the place anew', async () => {
  await using scenario = await Scenario.start([{ target: 'vda', size: '16M' }]);
  const { vm } = scenario;
  const place = join(scenario.work.path, 'shared by hosts');
  const shared = ['-C', place];
  await vm.write('vda', 0, MIB, 0x11);
  await scenario.backup('full', 'virtnbdbackup.0', ...shared);
  await vm.write('vda', MIB, MIB, 0x22);
  await scenario.backup('inc', 'virtnbdbackup.1', '--checkpointdir', place);
  expect(await readdir(place)).toEqual(['virtnbdbackup.0.xml', 'virtnbdbackup.1.xml']);
  expect(await readdir(scenario.folder)).not.toContain('checkpoints');
  await vm.write('vda', 2 * MIB, MIB, 0x33);
  await forget(scenario, vm);
  await scenario.backup('inc', 'virtnbdbackup.2', ...shared);
  const manifest = (await scenario.manifests()).find(({ point }) => point === 'virtnbdbackup.2');
  expect(manifest?.disks.map(({ base }) => base)).toEqual([false]);
  await scenario.expectAllPointsExact();
  await using rotated = await Scenario.copyOf(scenario);
  await rotated.backup('full', 'virtnbdbackup.0', ...shared);
  expect(await readdir(place)).toEqual(['virtnbdbackup.0.xml']);
  await forget(scenario, vm);
  const late = await scenario.tryBackup('inc', ...shared);
  expect([late.code, late.stderr]).toEqual([1, expect.stringContaining('begun a new chain')]);
});

test('without the XML a forgotten checkpoint is no loss: all disks are saved whole, and the chain goes on', async () => {
  await using scenario = await Scenario.start([{ target: 'vda', size: '16M' }]);
  const { vm } = scenario;
  await vm.write('vda', 0, MIB, 0x11);
  await scenario.backup('full', 'virtnbdbackup.0');
  await vm.write('vda', MIB, MIB, 0x22);
  await rm(join(scenario.folder, 'checkpoints'), { recursive: true });
  await forget(scenario, vm);
  const { stderr } = await scenario.backup('inc', 'virtnbdbackup.1');
  expect(stderr).toMatch(/WARN.*all of it is saved/);
  await vm.write('vda', 2 * MIB, MIB, 0x33);
  await scenario.backup('inc', 'virtnbdbackup.2');
  await scenario.expectAllPointsExact();
});

test('a bitmap of the next name that no checkpoint has is told with both ways out, and a full is one of them', async () => {
  await using scenario = await Scenario.start([{ target: 'vda', size: '16M' }]);
  const { vm } = scenario;
  await vm.write('vda', 0, MIB, 0x11);
  await scenario.backup('full', 'virtnbdbackup.0');
  await vm.destroy();
  await runProgram('qemu-img', ['bitmap', '--add', vm.disks[0]?.path ?? '', 'virtnbdbackup.1']);
  await vm.start();
  const { code, stderr } = await scenario.tryBackup('inc');
  expect([code, stderr]).toEqual([1, expect.stringMatching(/--checkpointdir.*full backup into a new folder/)]);
  await using fresh = await Scenario.copyOf(scenario);
  await fresh.backup('full', 'virtnbdbackup.0');
  await vm.write('vda', MIB, MIB, 0x22);
  await fresh.backup('inc', 'virtnbdbackup.1');
  await fresh.expectAllPointsExact();
});

test('broken bitmaps of a VM that crashed and was forgotten are in no way of a full', async () => {
  await using scenario = await Scenario.start([{ target: 'vda', size: '16M' }]);
  const { vm } = scenario;
  await scenario.backupOnly('full');
  await vm.destroy();
  await vm.start();
  await vm.write('vda', 0, MIB, 0x11);
  await vm.crash();
  await forget(scenario, vm);
  await using fresh = await Scenario.copyOf(scenario);
  await fresh.backup('full', 'virtnbdbackup.0');
  await vm.write('vda', MIB, MIB, 0x22);
  await fresh.backup('inc', 'virtnbdbackup.1');
  await fresh.expectAllPointsExact();
});

test.each(['full', 'inc', 'diff', 'auto'])(
  'a checkpoint of another tool is refused by its name at %s',
  async (level) => {
    await using scenario = await Scenario.start([{ target: 'vda', size: '4M' }]);
    await using fresh = await Scenario.copyOf(scenario);
    await scenario.backupOnly('full');
    await scenario.vm.virsh('checkpoint-create-as', 'before-upgrade');
    const refused = await (level === 'full' ? fresh : scenario).tryBackup(level);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('before-upgrade')]);
    await fresh.backupOnly('copy');
  },
);

test('a VM that moves to another host with its images goes on there from the folder alone', async () => {
  await using scenario = await Scenario.start([{ target: 'vda', size: '16M' }]);
  await using elsewhere = await TestLibvirt.start();
  const { vm } = scenario;
  await vm.write('vda', 0, MIB, 0x11);
  await scenario.backup('full', 'virtnbdbackup.0');
  await vm.write('vda', MIB, MIB, 0x22);
  await vm.destroy();
  await scenario.keepReference('virtnbdbackup.1');
  const images = join(elsewhere.workFolder, 'images');
  await mkdir(images);
  const [disk] = vm.disks;
  const image = join(images, 'moved.qcow2');
  await copyFile(disk?.path ?? '', image);
  const xml = join(elsewhere.workFolder, 'moved.xml');
  await writeFile(xml, (await vm.xml({ inactive: true })).replace(disk?.path ?? '', image));
  await elsewhere.virsh('define', xml);
  const moved = await elsewhere.findVm(vm.name);
  await giveToDaemon(images, image);
  await moved.start();
  const { stderr } = await scenario.backupOnly('inc', '-U', elsewhere.uri);
  // At another place it may be another image: all of it is saved.
  expect(stderr).toMatch(/WARN.*has the image .*moved.qcow2.*all of it is saved/);
  const restored = join(await scenario.restore('virtnbdbackup.1'), 'moved.qcow2');
  expect(await difference(restored, scenario.reference('virtnbdbackup.1', 'vda'))).toBeNull();
});
