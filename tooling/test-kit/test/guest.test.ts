import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findLeftovers, makeImage, requires, run, TestLibvirt, type TestVm } from '../src/index.ts';

const { skip } = requires('guest', 'mkfs.ext4', 'debugfs');
let libvirt: TestLibvirt;
let vm: TestVm;

describe.skipIf(skip)('the small guest', () => {
  beforeAll(async () => {
    libvirt = await TestLibvirt.start();
    const image = join(libvirt.folder, 'images/file-system.raw');
    await makeImage(image, { format: 'raw', size: '32M' });
    await run('mkfs.ext4', ['-q', '-F', image]);
    vm = await libvirt.createVm({
      name: 'guest with a “long” name [1] ünïcödé',
      guest: true,
      disks: [{ target: 'vda', image, format: 'raw' }],
    });
    await vm.waitForAgent();
  }, 600_000);
  afterAll(() => libvirt?.stop());

  test('runs commands and tells how they end', async () => {
    expect(await vm.guestExec('echo out; echo err >&2')).toEqual({ stdout: 'out\n', stderr: 'err\n' });
    await expect(vm.guestExec('exit 3')).rejects.toMatchObject({ code: 'GUEST' });
  });

  test('has the ext4 of vda at /mnt, and what it writes reaches the image', async () => {
    await vm.guestExec('echo hello > /mnt/file; sync');
    const reference = join(libvirt.workFolder, 'guest.raw');
    await vm.reference('vda', reference);
    expect((await run('debugfs', ['-R', 'cat file', reference])).stdout).toBe('hello\n');
    expect(await vm.state()).toBe('running');
  });

  test('freezes and thaws its file systems', async () => {
    expect(await vm.fsFrozen()).toBe(false);
    await vm.virsh('domfsfreeze');
    expect(await vm.fsFrozen()).toBe(true);
    expect(await findLeftovers(libvirt)).toEqual([`frozen file systems: ${vm.name}`]);
    await vm.virsh('domfsthaw');
    expect(await vm.fsFrozen()).toBe(false);
    expect(await findLeftovers(libvirt)).toEqual([]);
  });

  test('shuts down when asked', async () => {
    await vm.shutdown();
    expect(await vm.state()).toBe('shutoff');
  });
});
