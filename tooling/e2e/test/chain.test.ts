import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { TestLibvirt, tempFolder, withSeed } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import { succeed } from '../src/commands.ts';
import { randomOperations, Scenario } from '../src/scenario.ts';
import { filesWith } from '../src/secrets.ts';

const MIB = 1 << 20;
const SIZE = 48 * MIB;
const DISKS = [
  { target: 'vda', size: SIZE },
  { target: 'vdaa', size: SIZE / 2, createOptions: ['-o', 'cluster_size=4096'] },
];

test.each([
  ['plain', []],
  ['compressed', ['-z']],
] as const)('a full and three increments of two disks come back exactly at every point: %s', async (_name, args) => {
  await withSeed(async (random) => {
    await using scenario = await Scenario.start(DISKS);
    const change = (count: number) =>
      scenario.vm.apply([
        ...randomOperations(random, 'vda', SIZE, count),
        ...randomOperations(random, 'vdaa', SIZE / 2, count),
      ]);
    await change(60);
    await scenario.backup('full', 'virtnbdbackup.0', ...args);
    for (const point of ['virtnbdbackup.1', 'virtnbdbackup.2', 'virtnbdbackup.3']) {
      await change(25);
      await scenario.backup('inc', point, ...args);
    }
    await scenario.expectAllPointsExact();
  });
});

test('a range that was zeroed or discarded before the increment is zero after its restore', async () => {
  await using scenario = await Scenario.start();
  await scenario.vm.write('vda', 0, 8 * MIB, 0x11);
  await scenario.backup('full', 'virtnbdbackup.0');
  await scenario.vm.zero('vda', 0, MIB);
  await scenario.vm.zero('vda', 2 * MIB, MIB, { unmap: true });
  await scenario.vm.discard('vda', 4 * MIB, MIB);
  await scenario.backup('inc', 'virtnbdbackup.1');
  await scenario.expectAllPointsExact();
});

test('an increment without a change, and increments after it, come back exactly', async () => {
  await using scenario = await Scenario.start();
  await scenario.vm.write('vda', MIB, MIB, 0x22);
  await scenario.backup('full', 'virtnbdbackup.0');
  await scenario.backup('inc', 'virtnbdbackup.1');
  await scenario.vm.write('vda', 3 * MIB, 512, 0x33);
  await scenario.backup('inc', 'virtnbdbackup.2');
  await scenario.expectAllPointsExact();
});

test('a differential saves what has changed, and the next increment saves it too', async () => {
  await using scenario = await Scenario.start();
  await scenario.vm.write('vda', 0, 4 * MIB, 0x11);
  await scenario.backup('auto', 'virtnbdbackup.0');
  for (const value of [0x22, 0x33]) {
    await scenario.vm.write('vda', MIB, MIB, value);
    await scenario.vm.zero('vda', 2 * MIB, 65536, { unmap: true });
    await scenario.newPoint('diff');
  }
  expect(await scenario.vm.checkpoints()).toEqual(['virtnbdbackup.0']);
  await scenario.vm.write('vda', 8 * MIB, 4096, 0x44);
  await scenario.backup('auto', 'virtnbdbackup.1');
  await scenario.expectAllPointsExact();
});

test('a copy stands alone and leaves the chain as it is', async () => {
  await using scenario = await Scenario.start();
  await scenario.vm.write('vda', MIB, MIB, 0x44);
  await scenario.backup('full', 'virtnbdbackup.0');
  await scenario.vm.write('vda', 2 * MIB, MIB, 0x55);
  await using copy = await Scenario.copyOf(scenario);
  await copy.backup('copy', 'copy');
  expect(await scenario.vm.checkpoints()).toEqual(['virtnbdbackup.0']);
  await scenario.backup('inc', 'virtnbdbackup.1');
  await scenario.expectAllPointsExact();
  await copy.expectAllPointsExact();
});

test('a disk of 16 TiB that holds little is saved and comes back', async () => {
  const size = 16 * 2 ** 40;
  await using scenario = await Scenario.start([{ target: 'vda', size, createOptions: ['-o', 'cluster_size=2M'] }]);
  await scenario.vm.write('vda', 0, MIB, 0x66);
  await scenario.backupOnly('full');
  await scenario.vm.write('vda', size - MIB, MIB, 0x67);
  await scenario.backupOnly('inc');
  await scenario.expectBytes('virtnbdbackup.1', 'vda', [
    { offset: 0, length: MIB, value: 0x66 },
    { offset: size / 2, length: MIB, value: 0 },
    { offset: size - MIB, length: MIB, value: 0x67 },
  ]);
});

test('a VM with a name full of odd characters and a folder with another are saved and come back', async () => {
  await using scenario = await Scenario.start([{ target: 'vda' }], { name: `odd [näme] 'x" $(y)` });
  await scenario.vm.write('vda', MIB, MIB, 0x77);
  await scenario.backup('full', 'virtnbdbackup.0');
  await scenario.backup('inc', 'virtnbdbackup.1');
  await scenario.expectAllPointsExact();
});

test('the password of a console is saved with the configuration, for its owner only to read, and told nowhere else', async () => {
  await using libvirt = await TestLibvirt.start();
  await using work = await tempFolder();
  const xmlExtra = "<video><model type='vga'/></video><graphics type='vnc' port='-1' passwd='secret7'/>";
  const vm = await libvirt.createVm({ disks: [{ target: 'vda' }], xmlExtra, start: false });
  const folder = join(work.path, 'backup');
  const env = { LIBVIRT_DEFAULT_URI: libvirt.uri };
  const { stderr } = await succeed('virtnbdbackup', ['-d', vm.name, '-o', folder, '-n', '-v'], env);
  const config = join(folder, 'vmconfig.copy.xml');
  expect([stderr, await filesWith('secret7', [folder])]).toEqual([expect.not.stringContaining('secret7'), [config]]);
  expect(await readFile(config, 'utf8')).toContain("passwd='secret7'");
  expect((await stat(config)).mode & 0o777).toBe(0o600);
});
