import { join } from 'node:path';
import { buildBackupXml, buildCheckpointXml, LibvirtConnection } from '@virtnbd/libvirt-ops';
import { requires, TestLibvirt, type TestVm } from '@virtnbd/test-kit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  planCheckpoints,
  readCheckpoints,
  redefineMissing,
  removeChain,
  rollBack,
  trackedDisks,
} from '../src/index.ts';

const MiB = 1024 * 1024;

describe.skipIf(requires('libvirt').skip)('checkpoints of a real VM', () => {
  let libvirt: TestLibvirt;
  let connection: LibvirtConnection;
  let jobs = 0;

  beforeAll(async () => {
    libvirt = await TestLibvirt.start();
    connection = await LibvirtConnection.open(libvirt.uri);
  });
  afterAll(async () => {
    await connection?.close();
    await libvirt?.stop();
  });

  const makeVm = (targets: readonly string[] = ['vda']): Promise<TestVm> =>
    libvirt.createVm({ disks: targets.map((target) => ({ target, size: 16 * MiB })) });

  /** A backup job without a reader, ended at once. */
  async function job(
    vm: TestVm,
    options: { incremental?: string; checkpoint?: string; description?: string; targets?: readonly string[] },
  ): Promise<void> {
    const { incremental, checkpoint, description, targets = ['vda'] } = options;
    const socketPath = join(libvirt.workFolder, `job${jobs++}.sock`);
    const backup = buildBackupXml({
      socketPath,
      ...(incremental === undefined ? {} : { incremental }),
      disks: targets.map((target) => ({ target, backup: true, scratchFile: `${socketPath}.${target}` })),
    });
    const checkpointXml =
      checkpoint === undefined
        ? undefined
        : buildCheckpointXml({
            name: checkpoint,
            ...(description === undefined ? {} : { description }),
            disks: targets.map((target) => ({ target, checkpoint: true })),
          });
    await connection.backupBegin(vm.uuid, backup, checkpointXml === undefined ? {} : { checkpointXml });
    await connection.abortJob(vm.uuid);
  }

  async function chain(vm: TestVm, count: number, targets: readonly string[] = ['vda']): Promise<void> {
    for (let number = 0; number < count; number++) {
      await job(vm, {
        checkpoint: `virtnbdbackup.${number}`,
        description: `virtnbd run ${number}`,
        targets,
        ...(number === 0 ? {} : { incremental: `virtnbdbackup.${number - 1}` }),
      });
    }
  }

  const names = async (vm: TestVm): Promise<string[]> =>
    (await connection.checkpoints(vm.uuid)).map(({ name }) => name);

  test('they are read with the description that the run gave them', async () => {
    const vm = await makeVm();
    await chain(vm, 2);
    expect(await readCheckpoints(connection, vm.uuid)).toMatchObject([
      { name: 'virtnbdbackup.0', parent: null, description: 'virtnbd run 0' },
      { name: 'virtnbdbackup.1', parent: 'virtnbdbackup.0', description: 'virtnbd run 1' },
    ]);
  });

  test('a chain is removed with its bitmaps, and foreign checkpoints stay', async () => {
    const vm = await makeVm();
    await chain(vm, 3);
    await job(vm, { checkpoint: 'mine', incremental: 'virtnbdbackup.2' });
    const { removed, broken } = await removeChain(connection, vm.uuid);
    expect(removed).toEqual(['virtnbdbackup.2', 'virtnbdbackup.1', 'virtnbdbackup.0']);
    expect(broken).toEqual([]);
    expect(await names(vm)).toEqual(['mine']);
    expect((await vm.bitmaps('vda')).map(({ name }) => name)).toEqual(['mine']);
  });

  test('of a checkpoint whose bitmap is gone the record goes, and a new chain can begin', async () => {
    const vm = await makeVm();
    await chain(vm, 2);
    await removeBitmap(vm, 'vda', 'virtnbdbackup.1');
    const { removed, broken } = await removeChain(connection, vm.uuid);
    expect(removed).toEqual(['virtnbdbackup.1', 'virtnbdbackup.0']);
    expect(broken).toContain('virtnbdbackup.1');
    expect(await names(vm)).toEqual([]);
    await chain(vm, 1);
  });

  test('a bitmap that is gone from one disk does not keep the other disk from a new chain', async () => {
    const vm = await makeVm(['vda', 'vdb']);
    await chain(vm, 2, ['vda', 'vdb']);
    await removeBitmap(vm, 'vda', 'virtnbdbackup.0');
    await removeChain(connection, vm.uuid);
    expect(await names(vm)).toEqual([]);
    expect(await vm.bitmaps('vdb')).toEqual([]);
    await chain(vm, 1, ['vda', 'vdb']);
  });

  test('an uncommitted checkpoint is rolled back, and what was written since counts for the next one', async () => {
    const vm = await makeVm();
    await chain(vm, 1);
    await vm.write('vda', 0, MiB, 1);
    await job(vm, { checkpoint: 'virtnbdbackup.1', incremental: 'virtnbdbackup.0', description: 'virtnbd run x' });
    await vm.write('vda', 4 * MiB, MiB, 2);
    const result = await rollBack(connection, vm.uuid, {
      name: 'virtnbdbackup.1',
      description: 'virtnbd run x',
    });
    expect(result).toBe('deleted');
    expect(await names(vm)).toEqual(['virtnbdbackup.0']);
    const bitmap = (await vm.bitmaps('vda')).find(({ name }) => name === 'virtnbdbackup.0');
    expect(bitmap).toMatchObject({ dirty: 2 * MiB, recording: true });
  });

  test('a checkpoint of the same name that somebody else has made is not rolled back', async () => {
    const vm = await makeVm();
    await chain(vm, 2);
    const foreign = { name: 'virtnbdbackup.1', description: 'virtnbd run other' };
    expect(await rollBack(connection, vm.uuid, foreign)).toBe('not-ours');
    expect(await rollBack(connection, vm.uuid, { ...foreign, name: 'virtnbdbackup.7' })).toBe('absent');
    expect(await names(vm)).toEqual(['virtnbdbackup.0', 'virtnbdbackup.1']);
  });

  test('the roll-back waits while the VM is off', async () => {
    const vm = await makeVm();
    await chain(vm, 2);
    await vm.shutdown();
    const uncommitted = { name: 'virtnbdbackup.1', description: 'virtnbd run 1' };
    expect(await rollBack(connection, vm.uuid, uncommitted)).toBe('waiting');
    await expect(removeChain(connection, vm.uuid)).rejects.toMatchObject({ code: 'DOMAIN_OFF' });
    await vm.start();
    expect(await rollBack(connection, vm.uuid, uncommitted)).toBe('deleted');
  });

  test.each(['running', 'off'])('checkpoints that libvirt has forgotten are redefined (VM %s)', async (state) => {
    const vm = await makeVm();
    await chain(vm, 2);
    const before = await readCheckpoints(connection, vm.uuid);
    const stored: { name: string; xml: string }[] = [];
    for (const { name } of before) stored.push({ name, xml: await connection.checkpointXml(vm.uuid, name) });
    if (state === 'off') await vm.shutdown();
    for (const { name } of before.toReversed())
      await connection.deleteCheckpoint(vm.uuid, name, { metadataOnly: true });
    const input = { level: 'inc' as const, recorded: before, stored: before };
    expect(planCheckpoints({ ...input, domain: await readCheckpoints(connection, vm.uuid) })).toEqual({
      kind: 'redefine',
      checkpoints: ['virtnbdbackup.0', 'virtnbdbackup.1'],
    });
    const result = await redefineMissing(connection, vm.uuid, stored);
    expect(result).toEqual({
      redefined: ['virtnbdbackup.0', 'virtnbdbackup.1'],
      validated: state === 'running',
      failed: null,
    });
    expect(planCheckpoints({ ...input, domain: await readCheckpoints(connection, vm.uuid) })).toMatchObject({
      kind: 'inc',
      create: 'virtnbdbackup.2',
      definedAgain: true,
    });
    if (state === 'off') await vm.start();
    await job(vm, { incremental: 'virtnbdbackup.1', checkpoint: 'virtnbdbackup.2' });
  });

  test('where the bitmap of one disk is gone, the checkpoint is redefined, and the other disks are tracked', async () => {
    const vm = await makeVm(['vda', 'vdb']);
    await chain(vm, 1, ['vda', 'vdb']);
    const stored = [{ name: 'virtnbdbackup.0', xml: await connection.checkpointXml(vm.uuid, 'virtnbdbackup.0') }];
    await connection.deleteCheckpoint(vm.uuid, 'virtnbdbackup.0', { metadataOnly: true });
    await removeBitmap(vm, 'vda', 'virtnbdbackup.0');
    const result = await redefineMissing(connection, vm.uuid, stored);
    expect(result).toEqual({ redefined: ['virtnbdbackup.0'], validated: false, failed: null });
    expect(await trackedDisks(connection, vm.uuid, 'virtnbdbackup.0')).toEqual(new Set(['vdb']));
  });

  async function removeBitmap(vm: TestVm, target: string, name: string): Promise<void> {
    const answer = await vm.monitor('query-block');
    const devices = Array.isArray(answer) ? answer : [];
    const index = vm.disks.findIndex((disk) => disk.target === target);
    const node: unknown = devices.filter(({ inserted }) => inserted !== undefined)[index]?.inserted['node-name'];
    await vm.monitor('block-dirty-bitmap-remove', { node, name });
  }
});
