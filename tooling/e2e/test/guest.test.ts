import { join } from 'node:path';
import { TestLibvirt, tempFolder } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import { start, succeed } from '../src/commands.ts';

test('the file systems of a guest with an agent are frozen for the moment of the job, and thawed', async () => {
  await using work = await tempFolder();
  await using libvirt = await TestLibvirt.start();
  const vm = await libvirt.createVm({ disks: [{ target: 'vda', size: '256M' }], guest: true });
  await vm.waitForAgent();
  const env = { LIBVIRT_DEFAULT_URI: libvirt.uri };
  const args = ['-d', vm.name, '-l', 'full', '-o', join(work.path, 'backup'), '-n'];
  const { stderr } = await succeed('virtnbdbackup', args, env);
  expect(stderr).toMatch(/froze \d+ file system/);
  expect(stderr).toMatch(/thawed/);
  expect(await vm.fsFrozen()).toBe(false);
});

test('a run that is told to end while the guest runs leaves it thawed', async () => {
  await using work = await tempFolder();
  await using libvirt = await TestLibvirt.start();
  const vm = await libvirt.createVm({ disks: [{ target: 'vda', size: '256M' }], guest: true });
  await vm.waitForAgent();
  const args = ['-d', vm.name, '-l', 'full', '-o', join(work.path, 'backup'), '-n'];
  const command = start('virtnbdbackup', args, { LIBVIRT_DEFAULT_URI: libvirt.uri });
  const frozen = () => command.stderr().includes('froze');
  while (!frozen()) await new Promise((resolve) => setTimeout(resolve, 2));
  command.kill('SIGTERM');
  await command.ended;
  expect(await vm.fsFrozen()).toBe(false);
  expect(await vm.jobActive()).toBe(false);
});
