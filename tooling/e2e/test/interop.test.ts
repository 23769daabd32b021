import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { requires } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { established } from '../src/established.ts';
import { difference } from '../src/images.ts';
import { Scenario } from '../src/scenario.ts';
import { theirBackup, theirRestore } from '../src/theirs.ts';

const MIB = 1 << 20;
/** The established tool expands wildcards in the folder's name. */
const PLAIN = { folder: 'backup' };
const { skip } = requires('virtnbdbackup');

describe.skipIf(skip)('with the established tool', () => {
  test.each([
    ['plain', []],
    ['compressed', ['-z']],
  ])('a folder that it wrote comes back exactly at every point: %s', async (_name, args) => {
    await using scenario = await Scenario.start([{ target: 'vda' }, { target: 'vdb', size: '16M' }], PLAIN);
    await scenario.vm.write('vda', 0, 8 * MIB, 0x11);
    await scenario.vm.write('vdb', MIB, MIB, 0x12);
    await theirBackup(scenario, 'full', 'virtnbdbackup.0', ...args);
    await scenario.vm.write('vda', 6 * MIB, 6 * MIB, 0x13);
    await scenario.vm.zero('vda', 2 * MIB, MIB, { unmap: true });
    await theirBackup(scenario, 'inc', 'virtnbdbackup.1', ...args);
    await scenario.vm.write('vdb', 4 * MIB, 70_000 - (70_000 % 512), 0x14);
    await theirBackup(scenario, 'inc', 'virtnbdbackup.2', ...args);
    await scenario.expectAllPointsExact();
  });

  test('it restores also what became zero exactly, where we saved that by --no-sparse-detection', async () => {
    await using scenario = await Scenario.start([{ target: 'vda' }], PLAIN);
    await scenario.vm.write('vda', 0, 8 * MIB, 0x11);
    await scenario.backup('full', 'virtnbdbackup.0');
    await scenario.vm.zero('vda', 2 * MIB, MIB, { unmap: true });
    await scenario.vm.discard('vda', 5 * MIB, MIB);
    await scenario.backup('inc', 'virtnbdbackup.1', '--no-sparse-detection');
    const image = join(await theirRestore(scenario, 'virtnbdbackup.1'), scenario.imageName('vda'));
    expect(await difference(image, scenario.reference('virtnbdbackup.1', 'vda'))).toBeNull();
    await scenario.expectAllPointsExact();
  });

  test.each([
    ['plain', []],
    ['compressed', ['-z']],
  ])('it restores every point of our folder exactly, where no range became zero: %s', async (_name, args) => {
    await using scenario = await Scenario.start([{ target: 'vda' }], PLAIN);
    await scenario.vm.write('vda', 0, 40 * MIB, 0x21);
    await scenario.backup('full', 'virtnbdbackup.0', ...args);
    await scenario.vm.write('vda', 6 * MIB, 6 * MIB, 0x22);
    await scenario.backup('inc', 'virtnbdbackup.1', ...args);
    await scenario.vm.write('vda', 50 * MIB, 512, 0x23);
    await scenario.backup('inc', 'virtnbdbackup.2', ...args);
    for (const point of ['virtnbdbackup.0', 'virtnbdbackup.1', 'virtnbdbackup.2']) {
      const image = join(await theirRestore(scenario, point), scenario.imageName('vda'));
      expect(await difference(image, scenario.reference(point, 'vda')), point).toBeNull();
    }
  });

  test('it brings a zeroed range of our increment back as it was before: the known difference', async () => {
    await using scenario = await Scenario.start([{ target: 'vda' }], PLAIN);
    await scenario.vm.write('vda', 0, 8 * MIB, 0x31);
    await scenario.backup('full', 'virtnbdbackup.0');
    await scenario.vm.zero('vda', 2 * MIB, MIB, { unmap: true });
    await scenario.backup('inc', 'virtnbdbackup.1');
    await scenario.expectAllPointsExact();
    const image = join(await theirRestore(scenario, 'virtnbdbackup.1'), scenario.imageName('vda'));
    const reason = await difference(image, scenario.reference('virtnbdbackup.1', 'vda'));
    expect(reason).toContain(`byte ${2 * MIB}: 0x31`);
  });

  test('it goes on with a chain that we began, and we with one that it began', async () => {
    await using ours = await Scenario.start([{ target: 'vda' }], PLAIN);
    await ours.vm.write('vda', 0, MIB, 0x41);
    await ours.backup('full', 'virtnbdbackup.0');
    await ours.vm.write('vda', MIB, MIB, 0x42);
    await theirBackup(ours, 'inc', 'virtnbdbackup.1');
    await ours.vm.write('vda', 2 * MIB, MIB, 0x43);
    await ours.backup('inc', 'virtnbdbackup.2');
    await ours.expectAllPointsExact();

    await using theirs = await Scenario.start([{ target: 'vda' }], PLAIN);
    await theirs.vm.write('vda', 0, MIB, 0x51);
    await theirBackup(theirs, 'full', 'virtnbdbackup.0');
    await theirs.vm.write('vda', MIB, MIB, 0x52);
    await theirs.backup('inc', 'virtnbdbackup.1');
    await theirs.vm.write('vda', 2 * MIB, MIB, 0x53);
    await theirBackup(theirs, 'inc', 'virtnbdbackup.2');
    await theirs.expectAllPointsExact();
    const names = await readdir(theirs.folder);
    expect(names).toContain('vda.inc.virtnbdbackup.2.data');
  });

  test('it reads the headers of our files', async () => {
    await using scenario = await Scenario.start([{ target: 'vda' }], PLAIN);
    await scenario.vm.write('vda', 0, MIB, 0x61);
    await scenario.backup('full', 'virtnbdbackup.0', '-z');
    const { stdout, stderr } = await established('virtnbdrestore', [
      ...['-U', scenario.libvirt.uri, '-i', scenario.folder, '-o', 'dump'],
      ...['--logfile', join(scenario.work.path, 'dump.log')],
    ]);
    expect(`${stdout}${stderr}`).toContain('virtnbdbackup.0');
  });
});
