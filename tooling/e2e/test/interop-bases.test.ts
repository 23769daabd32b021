import { join } from 'node:path';
import { requires } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { difference } from '../src/images.ts';
import { Scenario } from '../src/scenario.ts';
import { theirBackup, theirBackupOnly, theirRestore } from '../src/theirs.ts';

const MIB = 1 << 20;
/** The established tool expands wildcards in the folder's name. */
const PLAIN = { folder: 'backup' };

describe.skipIf(requires('virtnbdbackup').skip)('bases in mid-chain, with the established tool', () => {
  test('it goes on after ours, we after that, and it restores every point in which nothing became zero', {
    timeout: 180_000,
  }, async () => {
    await using scenario = await Scenario.start([{ target: 'vda', size: '16M' }], PLAIN);
    const { vm } = scenario;
    await vm.write('vda', 0, 4 * MIB, 0x11);
    await scenario.backup('full', 'virtnbdbackup.0');
    await vm.write('vda', MIB, MIB, 0x12);
    await vm.crash();
    await vm.start();
    await vm.attachDisk({ target: 'vdb', size: '8M' });
    await vm.write('vdb', 0, MIB, 0x22);
    await scenario.backup('inc', 'virtnbdbackup.1');
    for (const disk of ['vda', 'vdb']) await vm.write(disk, 2 * MIB, MIB, 0x13);
    await theirBackup(scenario, 'inc', 'virtnbdbackup.2');
    for (const disk of ['vda', 'vdb']) await vm.write(disk, 3 * MIB, MIB, 0x14);
    await scenario.backup('inc', 'virtnbdbackup.3');
    await scenario.expectAllPointsExact();
    for (const [point, disk] of [
      ['virtnbdbackup.0', 'vda'],
      ['virtnbdbackup.1', 'vda'],
      ['virtnbdbackup.2', 'vda'],
      ['virtnbdbackup.2', 'vdb'],
      ['virtnbdbackup.3', 'vda'],
      ['virtnbdbackup.3', 'vdb'],
    ] as const) {
      const image = join(await theirRestore(scenario, point, disk), scenario.imageName(disk));
      expect(await difference(image, scenario.reference(point, disk)), `${disk} at ${point}`).toBeNull();
    }
  });

  test('we take up its chain with a raw disk, and it takes up ours', { timeout: 180_000 }, async () => {
    await using theirs = await Scenario.start(
      [
        { target: 'vda', size: '16M' },
        { target: 'vdb', size: '8M', format: 'raw' },
      ],
      PLAIN,
    );
    const { vm } = theirs;
    const write = async (number: number): Promise<void> => {
      for (const disk of ['vda', 'vdb']) await vm.write(disk, number * MIB, MIB, number);
    };
    await write(1);
    await theirBackup(theirs, 'full', 'virtnbdbackup.0', '--raw');
    await write(2);
    await theirs.backup('inc', 'virtnbdbackup.1', '--raw');
    await theirs.expectAllPointsExact();
    await write(3);
    await using ours = await Scenario.copyOf(theirs, PLAIN.folder);
    await ours.backup('full', 'virtnbdbackup.0', '--raw');
    await write(4);
    await ours.keepReference('virtnbdbackup.1', ['vda']);
    await theirBackupOnly(ours, 'inc');
    await write(5);
    await ours.backup('inc', 'virtnbdbackup.2', '--raw');
    await ours.expectAllPointsExact();
  });
});
