import { chmod, chown, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { daemonIdentity, type NbdServer, requires, run, startQemuNbd, TestLibvirt } from '@virtnbd/test-kit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { difference } from '../src/images.ts';
import { Scenario } from '../src/scenario.ts';

const MIB = 1 << 20;

describe('disks of many kinds in one VM', () => {
  let libvirt: TestLibvirt;
  let scenario: Scenario;

  beforeAll(async () => {
    libvirt = await TestLibvirt.start();
    const image = (name: string): string => join(libvirt.workFolder, name);
    const pool = image('a pool [1]');
    await mkdir(pool);
    await create(join(pool, `disk's "1" ü.qcow2`));
    await writeFile(
      image('pool.xml'),
      `<pool type='dir'><name>pool</name><target><path>${pool}</path></target></pool>`,
    );
    await libvirt.virsh('pool-define', image('pool.xml'));
    await libvirt.virsh('pool-start', 'pool');
    await create(image('base.qcow2'));
    await run('qemu-io', ['-f', 'qcow2', '-c', 'write -P 0x77 0 4M', image('base.qcow2')]);
    await create(image('over.qcow2'), '-b', image('base.qcow2'), '-F', 'qcow2');
    await create(image('data.qcow2'), '-o', `data_file=${image('data.bin')}`);
    await create(image('data-raw.qcow2'), '-o', `data_file=${image('data.raw')},data_file_raw=on`);
    if (daemonIdentity().dropped)
      for (const path of [image('base.qcow2'), image('data.bin'), image('data.raw')])
        await chown(path, daemonIdentity().uid, daemonIdentity().gid);
    scenario = await Scenario.in(libvirt, [
      {
        target: 'vda',
        image: join(pool, `disk's "1" ü.qcow2`),
        source: { pool: 'pool', volume: `disk's "1" ü.qcow2` },
      },
      { target: 'vdb', image: image('over.qcow2') },
      { target: 'vdc', image: image('data.qcow2') },
      { target: 'vdd', image: image('data-raw.qcow2') },
      { target: 'sda', size: '8M', bus: 'sata' },
    ]);
  });

  afterAll(async () => {
    await scenario?.[Symbol.asyncDispose]();
    await libvirt?.stop();
  });

  async function change(number: number): Promise<void> {
    for (const { target } of scenario.vm.disks) {
      await scenario.vm.write(target, number * MIB, MIB, number);
      await scenario.vm.zero(target, 65536 * number, 65536, { unmap: true });
    }
  }

  test('volume, backing chain, data files and another bus: full, increment and differential are exact', async () => {
    await change(1);
    await scenario.backup('full', 'virtnbdbackup.0');
    await change(2);
    await scenario.backup('inc', 'virtnbdbackup.1', '-z');
    await change(3);
    await scenario.vm.destroy();
    await scenario.newPoint('diff');
    await scenario.vm.start();
    await change(4);
    await scenario.backup('inc', 'virtnbdbackup.2');
    await scenario.expectAllPointsExact();
    expect((await scenario.manifests()).flatMap(({ disks }) => disks.filter(({ base }) => base))).toHaveLength(5);
  });

  test('a volume whose pool is not active is refused, and the hint starts it', async () => {
    await libvirt.virsh('pool-destroy', 'pool');
    const { code, stderr } = await scenario.tryBackup('inc');
    expect([code, stderr]).toEqual([1, expect.stringContaining('virsh pool-start pool')]);
    expect((await scenario.backupOnly('inc', '-x', 'vda')).stderr).toContain('vda');
  });
});

describe.skipIf(requires('root', 'losetup').skip)('block devices', () => {
  test('one with a qcow2 image has increments, one with raw data is saved whole', async () => {
    await using libvirt = await TestLibvirt.start();
    await using qcow2 = await loopDevice(join(libvirt.workFolder, 'loop-a'));
    await using raw = await loopDevice(join(libvirt.workFolder, 'loop-b'));
    await create(qcow2.path);
    await using scenario = await Scenario.in(libvirt, [
      { target: 'vda', image: qcow2.path, source: 'block' },
      { target: 'vdb', image: raw.path, source: 'block', format: 'raw' },
    ]);
    const { vm } = scenario;
    for (const target of ['vda', 'vdb']) await vm.write(target, 0, MIB, 0x11);
    await scenario.backup('full', 'virtnbdbackup.0', '--raw');
    for (const target of ['vda', 'vdb']) await vm.write(target, MIB, MIB, 0x22);
    await scenario.backup('inc', 'virtnbdbackup.1', '--raw');
    await scenario.expectAllPointsExact();
    const bases = (await scenario.manifests()).map(({ disks }) => disks.map(({ base }) => base));
    expect(bases).toEqual([
      [true, true],
      [false, true],
    ]);
    await vm.destroy();
  });
});

test('disks on a network are saved while the VM runs, qcow2 by its changes and raw as a whole, and refused while it is off', async () => {
  await using libvirt = await TestLibvirt.start();
  const image = (name: string): string => join(libvirt.workFolder, name);
  await create(image('remote.qcow2'));
  // Served as it is, it cannot grow.
  await run('truncate', ['-s', '32M', image('remote.qcow2')]);
  await run('truncate', ['-s', '8M', image('remote.raw')]);
  await using first = await served(image('remote.qcow2'));
  await using second = await served(image('remote.raw'));
  await using scenario = await Scenario.in(libvirt, [
    { target: 'vda', image: image('remote.qcow2'), source: { nbdSocket: first.socket, exportName: 'a/b' } },
    { target: 'vdb', image: image('remote.raw'), format: 'raw', source: { nbdSocket: second.socket, exportName: '' } },
  ]);
  for (const target of ['vda', 'vdb']) await scenario.vm.write(target, 0, 2 * MIB, 0x11);
  await scenario.backupOnly('full', '--raw');
  await scenario.keepReference('virtnbdbackup.0');
  for (const target of ['vda', 'vdb']) await scenario.vm.write(target, MIB, 2 * MIB, 0x22);
  await scenario.vm.zero('vda', 0, 65536, { unmap: true });
  await scenario.keepReference('virtnbdbackup.1');
  await scenario.backupOnly('inc', '--raw');
  const bases = (await scenario.manifests()).map(({ disks }) => disks.map(({ base }) => base));
  expect(bases).toEqual([
    [true, true],
    [false, true],
  ]);
  for (const point of ['virtnbdbackup.0', 'virtnbdbackup.1']) {
    const target = await scenario.restore(point);
    for (const disk of ['vda', 'vdb'])
      expect(await difference(join(target, disk), scenario.reference(point, disk)), `${disk} at ${point}`).toBeNull();
  }
  await scenario.vm.destroy();
  for (const more of [[], ['-S']]) {
    const off = await scenario.tryBackup('inc', '--raw', ...more);
    expect([off.code, off.stderr]).toEqual([1, expect.stringContaining('start the VM first')]);
  }
});

test('an encrypted disk is refused, and with --allow-plaintext saved; what the job keeps aside is encrypted', async () => {
  await using libvirt = await TestLibvirt.start();
  const image = join(libvirt.workFolder, 'luks.qcow2');
  await createEncrypted(image, 'open sesame');
  const secret = 'a2b1b7a5-4f0f-4ab1-9a4c-0d5f5f1a3e11';
  const xml = join(libvirt.workFolder, 'secret.xml');
  await writeFile(xml, `<secret ephemeral='no' private='no'><uuid>${secret}</uuid></secret>`);
  await libvirt.virsh('secret-define', xml);
  await libvirt.virsh('secret-set-value', secret, Buffer.from('open sesame').toString('base64'));
  const encryption = `<encryption format='luks'><secret type='passphrase' uuid='${secret}'/></encryption>`;
  await using scenario = await Scenario.in(libvirt, [{ target: 'vda', image, xml: encryption }]);
  await scenario.vm.write('vda', 0, MIB, 0x11);
  const refused = await scenario.tryBackup('full');
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('--allow-plaintext')]);
  await scenario.backupOnly('full', '--allow-plaintext');
  await scenario.expectBytes('virtnbdbackup.0', 'vda', [{ offset: 0, length: MIB, value: 0x11 }]);
  await scenario.vm.destroy();
  const off = await scenario.tryBackup('inc', '--allow-plaintext');
  expect([off.code, off.stderr]).toEqual([1, expect.stringContaining('while the VM runs')]);
});

test('a transient disk is refused while the VM runs, and is what the next start finds while it is off', async () => {
  await using scenario = await Scenario.start([{ target: 'vda', size: '8M', xml: '<transient/>' }]);
  const { code, stderr } = await scenario.tryBackup('copy');
  expect([code, stderr]).toEqual([1, expect.stringContaining('-x vda')]);
  await scenario.vm.destroy();
  await scenario.backup('copy', 'copy');
  await scenario.expectAllPointsExact();
});

/** A server of an image's bytes, which the daemon's user may use. */
async function served(image: string): Promise<NbdServer> {
  const server = await startQemuNbd(image, { format: 'raw', exportName: image.endsWith('qcow2') ? 'a/b' : '' });
  await chmod(server.socket, 0o777);
  return server;
}

/** qemu times its work for the key, which fails when the clock of its thread stands still for a moment: then once more. */
async function createEncrypted(image: string, passphrase: string): Promise<void> {
  const key = ['--object', `secret,id=key,data=${passphrase}`];
  const format = 'encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10';
  const create = ['create', ...key, '-q', '-f', 'qcow2', '-o', format, image, '8M'];
  for (let attempt = 1; ; attempt++) {
    try {
      await run('qemu-img', create);
      return;
    } catch (error) {
      if (attempt === 20 || !String(error).includes('accurate CPU usage')) throw error;
    }
  }
}

async function create(path: string, ...options: string[]): Promise<void> {
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', ...options, path, '16M']);
}

async function loopDevice(file: string): Promise<AsyncDisposable & { readonly path: string }> {
  await run('truncate', ['-s', '24M', file]);
  const path = (await run('losetup', ['--find', '--show', file])).stdout.trim();
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      await chown(path, 0, 0);
      await run('losetup', ['--detach', path]);
      await rm(file);
    },
  };
}
