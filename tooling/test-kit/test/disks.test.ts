import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  compareFiles,
  type DiskOperation,
  findLeftovers,
  identical,
  nbdUri,
  type Random,
  referenceViaNbd,
  requires,
  TestLibvirt,
  type TestVm,
  withSeed,
} from '../src/index.ts';

const { skip } = requires('libvirt');
const MIB = 1 << 20;
let libvirt: TestLibvirt;

describe.skipIf(skip)('the disks of a VM', () => {
  beforeAll(async () => {
    libvirt = await TestLibvirt.start();
  });
  afterAll(() => libvirt?.stop());

  test('hold what was written through every bus and format', async () => {
    const vm = await libvirt.createVm({
      disks: [
        { target: 'vda', size: 8 * MIB },
        { target: 'vdb', size: 8 * MIB, format: 'raw' },
        { target: 'sda', size: 8 * MIB },
        { target: 'sdb', size: 8 * MIB, bus: 'sata', format: 'raw' },
      ],
    });
    for (const { target } of vm.disks) {
      await vm.write(target, MIB, 65_536, 0xaa);
      await vm.writeBuffer(target, 3 * MIB + 512, Buffer.from('abc'.repeat(1000)));
      await vm.zero(target, MIB + 4096, 4096);
      await vm.zero(target, MIB + 8192, 4096, { unmap: true });
      const expected = Buffer.alloc(8 * MIB);
      expected.fill(0xaa, MIB, MIB + 65_536).fill(0, MIB + 4096, MIB + 12_288);
      expected.write('abc'.repeat(1000), 3 * MIB + 512);
      await expectDisk(vm, target, expected);
    }
  });

  test('equal a model after random writes and zeroes, paused, running and shut off', () =>
    withSeed(async (random) => {
      const size = 16 * MIB;
      const vm = await libvirt.createVm({ disks: [{ target: 'vda', size }] });
      const model = Buffer.alloc(size);
      for (let round = 0; round < 4; round++) {
        const operations = Array.from({ length: 40 }, () => randomOperation(random, size));
        await vm.apply(operations);
        for (const operation of operations) applyTo(model, operation);
        await expectDisk(vm, 'vda', model);
        if (round === 1) await vm.resume(); // SeaBIOS finds nothing to boot
      }
      await vm.destroy();
      await expectDisk(vm, 'vda', model);
    }));

  test('have references that equal what a backup job exports, discards included', () =>
    withSeed(async (random) => {
      const size = 16 * MIB;
      const vm = await libvirt.createVm({ disks: [{ target: 'vda', size }] });
      await vm.apply(Array.from({ length: 60 }, () => randomOperation(random, size, true)));
      const reference = join(libvirt.workFolder, 'reference.raw');
      const viaNbd = join(libvirt.workFolder, 'via-nbd.raw');
      await vm.reference('vda', reference);
      const socket = await beginBackup(vm, 'one');
      expect(await vm.jobActive()).toBe(true);
      expect(await findLeftovers(libvirt)).toEqual(
        expect.arrayContaining([expect.stringMatching(/^job/), expect.stringMatching(/^socket/)]),
      );
      await vm.write('vda', 0, MIB, 0x77); // after the moment of the backup
      await referenceViaNbd(nbdUri(socket, 'vda'), viaNbd);
      await vm.virsh('domjobabort');
      expect(await compareFiles(reference, viaNbd)).toEqual({ identical: true, size });
      expect(await findLeftovers(libvirt)).toEqual([]);
    }));

  test('show every kind of change in their dirty bitmaps', async () => {
    const vm = await libvirt.createVm({ disks: [{ target: 'vda', size: 64 * MIB }] });
    const changes: ((vm: TestVm) => Promise<void>)[] = [
      (vm) => vm.write('vda', MIB, 65_536, 1),
      (vm) => vm.writeBuffer('vda', 5 * MIB, Buffer.from('x')),
      (vm) => vm.zero('vda', 9 * MIB, 65_536),
      (vm) => vm.zero('vda', 13 * MIB, 65_536, { unmap: true }),
      (vm) => vm.discard('vda', 17 * MIB, 65_536),
    ];
    await vm.write('vda', 0, 32 * MIB, 0xff);
    for (const [i, change] of changes.entries()) {
      await vm.virsh('checkpoint-create-as', '--name', `cp.${i}`);
      await change(vm);
      const bitmap = (await vm.bitmaps('vda')).find(({ name }) => name === `cp.${i}`);
      expect(bitmap).toMatchObject({ recording: true, persistent: true, dirty: 65_536 });
    }
    expect(await vm.checkpoints()).toEqual(['cp.0', 'cp.1', 'cp.2', 'cp.3', 'cp.4']);
    await vm.destroy();
    const stored = await vm.bitmaps('vda');
    expect(stored.map(({ name }) => name).sort()).toEqual(['cp.0', 'cp.1', 'cp.2', 'cp.3', 'cp.4']);
    expect(stored.some(({ inconsistent }) => inconsistent)).toBe(false);
  });

  test('refuse a change that qemu did not make', async () => {
    const vm = await libvirt.createVm({ disks: [{ target: 'vda', size: MIB }] });
    await expect(vm.write('vda', MIB, 4096, 1)).rejects.toMatchObject({ code: 'DISK_WRITE' });
    await expect(vm.discard('vda', 0, 2 * MIB)).rejects.toMatchObject({ code: 'DISK_WRITE' });
    await expect(vm.write('vdx', 0, 4096, 1)).rejects.toMatchObject({ code: 'USAGE' });
    await vm.write('vda', 0, 4096, 1);
  });

  test('are followed through an external snapshot', async () => {
    const vm = await libvirt.createVm({ disks: [{ target: 'vda', size: 4 * MIB }] });
    await vm.write('vda', 0, MIB, 1);
    await vm.virsh('snapshot-create-as', '--disk-only', '--no-metadata', '--name', 'snap');
    expect((await vm.imagePath('vda')).path).not.toBe(vm.disks[0]?.path);
    await vm.write('vda', 2 * MIB, MIB, 2);
    await expectDisk(
      vm,
      'vda',
      Buffer.alloc(4 * MIB)
        .fill(1, 0, MIB)
        .fill(2, 2 * MIB, 3 * MIB),
    );
  });

  test('can be attached, resized and detached', async () => {
    const vm = await libvirt.createVm({ disks: [{ target: 'vda', size: MIB }] });
    await vm.attachDisk({ target: 'sda', size: MIB });
    await vm.write('sda', 0, 4096, 3);
    await vm.resizeDisk('sda', 2 * MIB);
    await vm.write('sda', MIB, 4096, 4);
    await expectDisk(
      vm,
      'sda',
      Buffer.alloc(2 * MIB)
        .fill(3, 0, 4096)
        .fill(4, MIB, MIB + 4096),
    );
    await vm.destroy(); // no guest code runs that would let go of it
    await vm.detachDisk('sda');
    expect(vm.disks.map(({ target }) => target)).toEqual(['vda']);
    await expect(vm.imagePath('sda')).rejects.toMatchObject({ code: 'USAGE' });
  });

  test('of a VM that was defined elsewhere can be written too', async () => {
    const first = await libvirt.createVm({ disks: [{ target: 'vda', size: MIB }], start: false });
    const xml = (await first.xml()).replace(/<name>.*<\/name>/, '<name>other</name>').replace(/<uuid>.*<\/uuid>/, '');
    const file = join(libvirt.workFolder, 'other.xml');
    await writeFile(file, xml);
    await libvirt.virsh('define', file);
    const vm = await libvirt.findVm('other');
    await vm.start();
    await vm.write('vda', 0, 4096, 9);
    await expectDisk(vm, 'vda', Buffer.alloc(MIB).fill(9, 0, 4096));
    expect(await libvirt.findVm(vm.uuid)).toBe(vm);
  });

  test('keep bitmaps marked as in use after a crash', async () => {
    const vm = await libvirt.createVm({ disks: [{ target: 'vda', size: MIB }] });
    await vm.virsh('checkpoint-create-as', '--name', 'cp');
    await vm.destroy();
    await vm.start();
    await vm.write('vda', 0, 4096, 1);
    await vm.crash();
    expect(await vm.bitmaps('vda')).toMatchObject([{ name: 'cp', inconsistent: true }]);
  });
});

async function expectDisk(vm: TestVm, target: string, expected: Buffer): Promise<void> {
  const reference = join(libvirt.workFolder, `${vm.uuid}-${target}.raw`);
  const model = join(libvirt.workFolder, `${vm.uuid}-${target}.model`);
  await vm.reference(target, reference);
  await writeFile(model, expected);
  expect(await compareFiles(reference, model)).toEqual({ identical: true, size: expected.length });
  expect(await identical(reference, model)).toBe(true);
  expect((await readFile(reference)).length).toBe(expected.length);
}

function randomOperation(random: Random, size: number, discards = false): DiskOperation {
  const { offset, length } = random.range(size, { longest: size / 16 });
  const kind = random.pick(
    discards ? (['write', 'buffer', 'zero', 'discard'] as const) : (['write', 'buffer', 'zero'] as const),
  );
  if (kind === 'write') return { kind, target: 'vda', offset, length, pattern: random.integer(0, 255) };
  if (kind === 'buffer') return { kind, target: 'vda', offset, bytes: random.bytes(length) };
  if (kind === 'zero') return { kind, target: 'vda', offset, length, unmap: random.boolean() };
  return { kind, target: 'vda', offset, length };
}

function applyTo(model: Buffer, operation: DiskOperation): void {
  if (operation.kind === 'buffer') model.set(operation.bytes, operation.offset);
  else {
    const value = operation.kind === 'write' ? operation.pattern : 0;
    model.fill(value, operation.offset, operation.offset + operation.length);
  }
}

async function beginBackup(vm: TestVm, name: string): Promise<string> {
  const socket = join(libvirt.workFolder, `${name}.sock`);
  const file = join(libvirt.workFolder, `${name}.xml`);
  const scratch = join(libvirt.workFolder, `${name}.qcow2`);
  await writeFile(
    file,
    `<domainbackup mode='pull'><server transport='unix' socket='${socket}'/><disks>
     <disk name='vda' backup='yes' type='file'><scratch file='${scratch}'/></disk></disks></domainbackup>`,
  );
  await vm.virsh('backup-begin', file);
  return socket;
}
