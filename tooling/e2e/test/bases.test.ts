import { readdir } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Scenario } from '../src/scenario.ts';

const MIB = 1 << 20;
let scenario: Scenario;
let next = 1;

/** One chain, to which each test adds a point; each point must be exact at the end, too. */
beforeAll(async () => {
  scenario = await Scenario.start([
    { target: 'vda', size: '16M' },
    { target: 'vdb', size: '16M' },
  ]);
  for (const disk of ['vda', 'vdb']) await scenario.vm.write(disk, 0, 8 * MIB, 0x10);
  await scenario.backup('full', 'virtnbdbackup.0');
});

afterAll(async () => {
  await scenario?.[Symbol.asyncDispose]();
});

/** Changes every disk, makes an increment, and says which disks it holds as bases, by their files. */
async function increment(): Promise<string[]> {
  for (const { target } of scenario.vm.disks) {
    await scenario.vm.write(target, next * 65536, 65536, next);
    await scenario.vm.zero(target, 4 * MIB + next * 65536, 65536, { unmap: true });
  }
  const point = `virtnbdbackup.${next++}`;
  await scenario.backup('inc', point);
  await scenario.expectExact(point);
  const manifest = (await scenario.manifests()).find((found) => found.point === point);
  return (manifest?.disks ?? []).filter(({ base }) => base).map(({ file }) => file);
}

/** Has qemu drop a bitmap behind libvirt's back. */
async function loseBitmap(target: string, name: string): Promise<void> {
  const blocks = (await scenario.vm.monitor('query-block')) as { inserted?: { file: string; 'node-name': string } }[];
  const { path } = await scenario.vm.imagePath(target);
  const node = blocks.find(({ inserted }) => inserted?.file === path)?.inserted?.['node-name'];
  await scenario.vm.monitor('block-dirty-bitmap-remove', { node, name });
}

test('a disk whose bitmap is lost is saved whole in an increment, the others by their changes', async () => {
  await loseBitmap('vdb', 'virtnbdbackup.0');
  expect(await increment()).toEqual(['vdb.inc.virtnbdbackup.1.data']);
});

test('after a base a disk goes on by its changes', async () => {
  expect(await increment()).toEqual([]);
});

test('a disk that was added begins as in a full', async () => {
  await scenario.vm.attachDisk({ target: 'vdc', size: '8M' });
  expect(await increment()).toEqual(['vdc.full.data']);
});

test('a disk that was resized is saved whole', async () => {
  await scenario.vm.resizeDisk('vda', 24 * MIB);
  expect(await increment()).toEqual(['vda.inc.virtnbdbackup.4.data']);
});

test('a disk that was taken away is in no later point; when it comes back it is saved whole', async () => {
  const image = scenario.vm.disks.find(({ target }) => target === 'vdc')?.path ?? '';
  // A guest that does not run lets no disk go.
  await scenario.vm.destroy();
  await scenario.vm.detachDisk('vdc');
  await scenario.vm.start();
  expect(await increment()).toEqual([]);
  await scenario.vm.attachDisk({ target: 'vdc', image });
  expect(await increment()).toEqual(['vdc.inc.virtnbdbackup.6.data']);
});

test('a differential holds a base of its own, which later increments leave alone', async () => {
  await loseBitmap('vda', 'virtnbdbackup.6');
  await scenario.vm.write('vda', MIB, 65536, 0x77);
  const point = await scenario.newPoint('diff');
  const manifest = (await scenario.manifests()).find((found) => found.point === point);
  expect(manifest?.disks.map(({ base }) => base)).toEqual([true, false, false]);
  expect(await readdir(scenario.folder)).toContain(`vda.diff.${point}.data`);
  expect(await increment()).toEqual(['vda.inc.virtnbdbackup.7.data']);
});

test('every point of such a chain stays exact', async () => {
  await scenario.expectAllPointsExact();
});
