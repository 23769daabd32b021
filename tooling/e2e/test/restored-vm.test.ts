import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { giveToDaemon, makeImage, run as runProgram, TestLibvirt, tempFolder } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import { run, succeed } from '../src/commands.ts';

test('a restored VM is defined beside the original, starts, and its guest reads a file of the increment', async () => {
  await using work = await tempFolder();
  await using libvirt = await TestLibvirt.start();
  const raw = join(work.path, 'guest.raw');
  await makeImage(raw, { format: 'raw', size: '64M' });
  await runProgram('mkfs.ext4', ['-q', '-F', raw]);
  const image = join(work.path, 'guest.qcow2');
  await runProgram('qemu-img', ['convert', '-O', 'qcow2', raw, image]);
  const vm = await libvirt.createVm({ name: 'first vm', disks: [{ target: 'vda', image }], guest: true });
  await vm.waitForAgent();
  const env = { LIBVIRT_DEFAULT_URI: libvirt.uri, HOME: work.path };
  const folder = join(work.path, 'backup');
  const save = ['-d', vm.name, '-o', folder, '-n'];
  await succeed('virtnbdbackup', [...save, '-l', 'full'], env);
  await vm.guestExec('echo of the increment > /mnt/news');
  await succeed('virtnbdbackup', [...save, '-l', 'inc'], env);
  await vm.guestExec('echo too late > /mnt/news');
  await libvirt.virsh('pool-create-as', 'pool', 'dir', '--target', libvirt.workFolder);
  // The daemon of this test may not be root, and then cannot look into the restored image: this one shows the refresh.
  await makeImage(join(libvirt.workFolder, 'new.raw'), { format: 'raw', size: '1M' });

  const target = libvirt.workFolder;
  const { stderr } = await succeed('virtnbdrestore', ['-cD', '-i', folder, '-o', target, '-n', '--name', 'again'], env);

  expect(stderr).toContain('configuration: name: again, was first vm');
  expect(stderr).toContain('the VM again is defined');
  expect(stderr).toContain('the storage pool pool knows the images');
  expect(await libvirt.virsh('vol-list', 'pool')).toContain('new.raw');
  await vm.destroy(); // both have the same socket for their agents
  await giveToDaemon(join(target, 'guest.qcow2'));
  const again = await libvirt.findVm('again', { guest: true });
  expect((await again.imagePath('vda')).path).toBe(join(target, 'guest.qcow2'));
  await again.start();
  await again.waitForAgent();
  expect((await again.guestExec('cat /mnt/news')).stdout).toBe('of the increment\n');
  // A second one of that name is refused before anything is made.
  const other = join(work.path, 'other');
  const refused = await run('virtnbdrestore', ['-D', '-i', folder, '-o', other, '-n', '--name', 'again'], env);
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('there is a VM again')]);
  await expect(readFile(join(other, 'guest.qcow2'))).rejects.toMatchObject({ code: 'ENOENT' });
}, 240_000);
