import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Scenario } from '../src/scenario.ts';

const MIB = 1 << 20;
let scenario: Scenario;

beforeAll(async () => {
  scenario = await Scenario.start([
    { target: 'vda', size: '16M' },
    { target: 'vdb', size: '32M', format: 'raw' },
  ]);
  for (const disk of ['vda', 'vdb']) await scenario.vm.write(disk, 0, MIB, 0x11);
});

afterAll(async () => {
  await scenario?.[Symbol.asyncDispose]();
});

async function dataFiles(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name.endsWith('.data')).sort();
}

test('raw images lie as plain, sparse copies beside a full, and every increment has them whole', async () => {
  const { vm, folder } = scenario;
  await scenario.backup('full', 'virtnbdbackup.0', '--raw', '-z');
  expect(await dataFiles(folder)).toEqual(['vda.full.data', 'vdb.copy.data']);
  const { size, blocks } = await stat(join(folder, 'vdb.copy.data'));
  expect([size, blocks * 512 < 2 * MIB]).toEqual([32 * MIB, true]);
  for (const disk of ['vda', 'vdb']) await vm.write(disk, MIB, MIB, 0x22);
  await vm.zero('vdb', 0, 65536);
  await scenario.backup('inc', 'virtnbdbackup.1', '-r');
  for (const disk of ['vda', 'vdb']) await vm.write(disk, 2 * MIB, MIB, 0x33);
  await scenario.newPoint('diff', '--raw');
  for (const disk of ['vda', 'vdb']) await vm.write(disk, 3 * MIB, MIB, 0x44);
  await scenario.backup('inc', 'virtnbdbackup.2', '--raw');
  await scenario.expectAllPointsExact();
});

test('without --raw they are left out, with a warning', async () => {
  await scenario.vm.write('vda', 4 * MIB, MIB, 0x55);
  await scenario.keepReference('virtnbdbackup.3', ['vda']);
  const { stderr } = await scenario.backupOnly('inc');
  expect(stderr).toMatch(/WARN.*vdb is left out.*--raw/);
  await scenario.expectExact('virtnbdbackup.3');
});

test('under type raw all disks are plain images, and the next increment is a base', async () => {
  await using plain = await Scenario.copyOf(scenario);
  await plain.backup('full', 'virtnbdbackup.0', '-t', 'raw', '--raw');
  expect(await dataFiles(plain.folder)).toEqual(['vda.full.data', 'vdb.copy.data']);
  await plain.vm.write('vda', 5 * MIB, MIB, 0x66);
  await plain.keepReference('virtnbdbackup.1', ['vda']);
  const { stderr } = await plain.backupOnly('inc');
  expect(stderr).toMatch(/WARN.*vda is a raw image.*all of it is saved/);
  await plain.expectAllPointsExact();
});

test('a full of raw images alone is a copy, off and running', async () => {
  await using alone = await Scenario.copyOf(scenario);
  await using off = await Scenario.copyOf(scenario);
  await alone.keepReference('copy', ['vdb']);
  const { stderr } = await alone.backupOnly('full', '-i', 'vdb', '--raw');
  expect(stderr).toMatch(/WARN.*level full is made as copy/);
  await alone.expectExact('copy');
  await scenario.vm.destroy();
  await off.backup('copy', 'copy', '--raw');
  await off.expectExact('copy');
});
