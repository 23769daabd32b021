import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { giveToDaemon, makeImage, requires, run as runProgram, TestLibvirt, tempFolder } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import { run, succeed } from '../src/commands.ts';

const fixtures = fileURLToPath(
  new URL('../../../packages/stream-format/test/fixtures/established-2.47', import.meta.url),
);

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

test.skipIf(requires('swtpm').skip)(
  'a restored VM has the state of its TPM, and starts with its host, as the original',
  async () => {
    await using work = await tempFolder();
    await using libvirt = await TestLibvirt.start();
    const xmlExtra = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>";
    const vm = await libvirt.createVm({ name: 'sealed', disks: [{ target: 'vda', size: '4M' }], xmlExtra });
    await libvirt.virsh('autostart', vm.name);
    // Where the daemon of this test keeps what is the user's.
    const env = { LIBVIRT_DEFAULT_URI: libvirt.uri, HOME: work.path, XDG_CONFIG_HOME: join(libvirt.folder, 'c') };
    const stateOf = (uuid: string): Promise<Buffer> =>
      readFile(join(libvirt.folder, 'c/libvirt/qemu/swtpm', uuid, 'tpm2/tpm2-00.permall'));
    const folder = join(work.path, 'backup');
    await succeed('virtnbdbackup', ['-d', vm.name, '-l', 'copy', '-o', folder, '-n'], env);
    const original = await stateOf(vm.uuid);

    const target = libvirt.workFolder;
    const { stdout } = await succeed('virtnbdrestore', ['-cD', '-i', folder, '-o', target, '-n', '--json'], env);

    const { domain } = JSON.parse(stdout);
    expect(domain.defined).toMatchObject({ name: 'restore_sealed', autostart: true });
    expect(await libvirt.virsh('dominfo', 'restore_sealed')).toMatch(/Autostart: +enable/);
    expect((await stateOf(domain.defined.uuid)).equals(original)).toBe(true);
    const again = await libvirt.findVm('restore_sealed');
    await giveToDaemon((await again.imagePath('vda')).path);
    await again.start({ paused: true });
    await again.destroy();
  },
);

test('the configuration of an established backup is adjusted without libvirt, and is one that libvirt takes', async () => {
  await using work = await tempFolder();
  const target = join(work.path, 'restored');
  const env = { LIBVIRT_DEFAULT_URI: 'qemu:///system?socket=/none', HOME: work.path };
  const args = ['-c', '-i', join(fixtures, 'two-disks-one-raw'), '-n', '-o'];
  const { stderr } = await succeed('virtnbdrestore', [...args, target, '-C', 'vm.xml'], env);
  expect(stderr).toContain('configuration: disk vdaa: ');
  await using libvirt = await TestLibvirt.start();
  await giveToDaemon(join(target, 'vm.xml'));
  await libvirt.virsh('define', join(target, 'vm.xml'));
  const blocks = await libvirt.virsh('domblklist', 'restore_barvm');
  for (const image of ['disk.qcow2', 'r.img']) expect(blocks).toContain(join(target, image));
  // Files that somebody has put together belong to no configuration.
  const sequence = await succeed('virtnbdrestore', [...args, join(work.path, 'other'), '-s', 'vda.full.data'], env);
  expect(sequence.stderr).toContain('-c and -D have no effect');
  expect((await readdir(join(work.path, 'other'))).filter((name) => name.endsWith('.xml'))).toEqual([]);
});

test('a restored VM has firmware and variables of its own, where this host lacks those of the original', async () => {
  await using work = await tempFolder();
  await using libvirt = await TestLibvirt.start();
  const loader = join(libvirt.workFolder, 'code.fd');
  const nvramTemplate = join(libvirt.workFolder, 'vars.fd');
  for (const [path, size] of [
    [loader, 1 << 18],
    [nvramTemplate, 1 << 16],
  ] as const) {
    await writeFile(path, Buffer.alloc(size, 0xf4)); // what runs in it does not matter here
    await giveToDaemon(path);
  }
  const disks = [{ target: 'vda', size: '4M' }];
  const vm = await libvirt.createVm({ name: 'uefi', disks, firmware: { loader, nvramTemplate } });
  const env = { LIBVIRT_DEFAULT_URI: libvirt.uri, HOME: work.path };
  const folder = join(work.path, 'backup');
  await succeed('virtnbdbackup', ['-d', vm.name, '-l', 'full', '-o', folder, '-n'], env);
  await vm.destroy();
  await rm(loader);

  const target = join(libvirt.workFolder, 'restored');
  await succeed('virtnbdrestore', ['-cD', '-i', folder, '-o', target, '-n'], env);

  const names = await readdir(target);
  const nvram = names.find((name) => name.includes('VARS')) ?? '';
  expect(names).toContain('code.fd');
  expect(await readFile(join(target, nvram))).toEqual(Buffer.alloc(1 << 16, 0xf4));
  await giveToDaemon(...names.filter((name) => name !== 'code.fd').map((name) => join(target, name)));
  const again = await libvirt.findVm('restore_uefi');
  await again.start({ paused: true });
  expect(await libvirt.virsh('dumpxml', 'restore_uefi')).toContain(`>${join(target, nvram)}</nvram>`);
});
