import { join } from 'node:path';
import { TestLibvirt, type TestVm } from '@virtnbd/test-kit';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  buildBackupXml,
  buildCheckpointXml,
  LibvirtConnection,
  parseBackupJob,
  parseCheckpoint,
  parseDomain,
} from '../src/index.ts';

const AGENT = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>";
const ODD_NAME = `vm "q" 'x' [a] <&> é`;

let libvirt: TestLibvirt;
let vm: TestVm;
let connection: LibvirtConnection;

beforeAll(async () => {
  libvirt = await TestLibvirt.start();
  vm = await libvirt.createVm({ disks: [{ target: 'vda' }, { target: 'vdb', format: 'raw' }], xmlExtra: AGENT });
});

afterAll(() => libvirt?.stop());

beforeEach(async () => {
  connection = await LibvirtConnection.open(libvirt.uri);
});

// Each test leaves the VM paused, without a job and without checkpoints.
afterEach(async () => {
  if ((await vm.state()) === 'shutoff') await vm.start();
  if ((await vm.state()) === 'running') await vm.suspend();
  if (await vm.jobActive()) await vm.virsh('domjobabort');
  for (const name of (await vm.checkpoints()).reverse()) await vm.virsh('checkpoint-delete', name);
  await connection.close();
});

test('the hypervisor says of a VM of its kind whether it makes backups', async () => {
  const kind = await parseDomain(await connection.domainXml(vm.uuid));
  expect(kind).toMatchObject({ arch: 'x86_64', machine: expect.stringContaining('pc') });
  expect(await connection.domainCapabilities(kind)).toEqual({ backup: true });
  await expect(connection.domainCapabilities({ ...kind, machine: 'no-such' })).rejects.toMatchObject({
    code: 'INVALID_ARG',
  });
});

/** The XML of a job on vda, with odd characters in its paths. */
function job(incremental?: string): string {
  return buildBackupXml({
    socketPath: join(libvirt.workFolder, 'job.sock'),
    ...(incremental === undefined ? {} : { incremental }),
    disks: [
      { target: 'vda', backup: true, scratchFile: join(libvirt.workFolder, `scratch "<&>' [é].qcow2`) },
      { target: 'vdb', backup: false },
    ],
  });
}

function checkpoint(name: string): string {
  return buildCheckpointXml({
    name,
    disks: [
      { target: 'vda', checkpoint: true },
      { target: 'vdb', checkpoint: false },
    ],
  });
}

/** A whole job that only makes a checkpoint. */
async function takeCheckpoint(name: string, incremental?: string): Promise<void> {
  await connection.backupBegin(vm.uuid, job(incremental), { checkpointXml: checkpoint(name) });
  await connection.abortJob(vm.uuid);
}

describe('a pull backup of a paused VM', () => {
  test('runs from begin to abort, and its job is described all along', async () => {
    expect(await connection.jobInfo(vm.uuid)).toEqual({ type: 'none', operation: 'unknown' });
    await expect(connection.backupXml(vm.uuid)).rejects.toMatchObject({ code: 'NO_DOMAIN_BACKUP' });

    await connection.backupBegin(vm.uuid, job(), { checkpointXml: checkpoint('c.0') });
    expect(await connection.jobInfo(vm.uuid)).toMatchObject({
      type: 'unbounded',
      operation: 'backup',
      timeElapsed: expect.any(Number),
      scratchTotal: 64 << 20,
      scratchUsed: 0,
    });
    expect(await parseBackupJob(await connection.backupXml(vm.uuid))).toMatchObject({
      mode: 'pull',
      incremental: null,
      socketPath: join(libvirt.workFolder, 'job.sock'),
      disks: [
        { target: 'vda', backup: true, exportName: 'vda', scratchFile: expect.stringContaining(`"<&>' [é]`) },
        { target: 'vdb', backup: false },
      ],
    });

    await connection.abortJob(vm.uuid);
    expect(await connection.jobInfo(vm.uuid)).toEqual({ type: 'none', operation: 'unknown' });
    const ended = await connection.jobInfo(vm.uuid, { completed: true });
    expect(ended).toMatchObject({ operation: 'backup' });
    expect(await connection.jobInfo(vm.uuid, { completed: true })).toEqual(ended);
    await expect(connection.abortJob(vm.uuid)).rejects.toMatchObject({ code: 'OPERATION_INVALID' });
  });

  test('increments from a checkpoint, and says so when there is none', async () => {
    await takeCheckpoint('c.0');
    await connection.backupBegin(vm.uuid, job('c.0'), { checkpointXml: checkpoint('c.1') });
    expect(await parseBackupJob(await connection.backupXml(vm.uuid))).toMatchObject({
      incremental: 'c.0',
      disks: [{ target: 'vda', exportBitmap: expect.any(String) }, {}],
    });
    await connection.abortJob(vm.uuid);
    await expect(connection.backupBegin(vm.uuid, job('c.7'))).rejects.toMatchObject({ code: 'NO_DOMAIN_CHECKPOINT' });
  });

  test('of a VM that is off is refused', async () => {
    await vm.destroy();
    await expect(connection.backupBegin(vm.uuid, job())).rejects.toMatchObject({ code: 'OPERATION_UNSUPPORTED' });
    await expect(connection.jobInfo(vm.uuid)).rejects.toMatchObject({ code: 'OPERATION_INVALID' });
  });

  test('uses a scratch file that exists when told to', async () => {
    const scratchFile = join(libvirt.workFolder, 'made.qcow2');
    await libvirt.run('qemu-img', ['create', '-f', 'qcow2', scratchFile, '64M']);
    await libvirt.run('chmod', ['0666', scratchFile]);
    const xml = buildBackupXml({
      socketPath: join(libvirt.workFolder, 'job.sock'),
      disks: [
        { target: 'vda', backup: true, scratchFile },
        { target: 'vdb', backup: false },
      ],
    });
    await expect(connection.backupBegin(vm.uuid, xml)).rejects.toMatchObject({ libvirtCode: expect.any(Number) });
    await connection.backupBegin(vm.uuid, xml, { reuseExternal: true });
    await connection.abortJob(vm.uuid);
  });
});

describe('checkpoints', () => {
  test('are listed parents first, with time, parent and XML', async () => {
    expect(await connection.checkpoints(vm.uuid)).toEqual([]);
    for (const name of ['z', 'b', 'a']) await takeCheckpoint(name);
    const list = await connection.checkpoints(vm.uuid);
    expect(list.map(({ name, parent }) => [name, parent])).toEqual([
      ['z', null],
      ['b', 'z'],
      ['a', 'b'],
    ]);
    expect(list.every(({ creationTime }) => creationTime > 1_600_000_000)).toBe(true);
    expect(list.every(({ xml }) => xml.includes('<domaincheckpoint>') && !xml.includes('<domain '))).toBe(true);
  });

  test('tell how much is dirty since, and whose they are', async () => {
    await takeCheckpoint('c.0');
    await vm.write('vda', 0, 3 * 65536, 7);
    const sized = await parseCheckpoint(await connection.checkpointXml(vm.uuid, 'c.0', { size: true }));
    expect(sized).toMatchObject({ domainUuid: vm.uuid, disks: [{ target: 'vda', size: 3 * 65536 }, { size: null }] });
    const bare = await connection.checkpointXml(vm.uuid, 'c.0', { noDomain: true });
    expect(await parseCheckpoint(bare)).toMatchObject({ domainUuid: null });
    await expect(connection.checkpointXml(vm.uuid, 'none')).rejects.toMatchObject({ code: 'NO_DOMAIN_CHECKPOINT' });
  });

  test('are merged into their parent when deleted', async () => {
    await takeCheckpoint('c.0');
    await vm.write('vda', 0, 65536, 1);
    await takeCheckpoint('c.1', 'c.0');
    await vm.write('vda', 1 << 20, 65536, 2);
    await connection.deleteCheckpoint(vm.uuid, 'c.1');
    const left = await parseCheckpoint(await connection.checkpointXml(vm.uuid, 'c.0', { size: true }));
    expect(left.disks[0]?.size).toBe(2 * 65536);
    await expect(connection.deleteCheckpoint(vm.uuid, 'c.1')).rejects.toMatchObject({ code: 'NO_DOMAIN_CHECKPOINT' });
  });

  test('go with their children when asked', async () => {
    for (const name of ['c.0', 'c.1', 'c.2']) await takeCheckpoint(name);
    await connection.deleteCheckpoint(vm.uuid, 'c.1', { children: true });
    expect((await connection.checkpoints(vm.uuid)).map(({ name }) => name)).toEqual(['c.0']);
  });

  test('come back by redefinition, from the XML of the list, and still serve increments', async () => {
    await takeCheckpoint('c.0');
    await takeCheckpoint('c.1', 'c.0');
    const list = await connection.checkpoints(vm.uuid);
    await connection.deleteCheckpoint(vm.uuid, 'c.0', { metadataOnly: true, children: true });
    expect(await connection.checkpoints(vm.uuid)).toEqual([]);
    for (const { xml } of list) await connection.createCheckpoint(vm.uuid, xml, { redefineValidate: true });
    expect(await connection.checkpoints(vm.uuid)).toEqual(list);
    await vm.write('vda', 0, 65536, 3);
    await takeCheckpoint('c.2', 'c.1');
    await connection.deleteCheckpoint(vm.uuid, 'c.1');
    const left = await parseCheckpoint(await connection.checkpointXml(vm.uuid, 'c.0', { size: true }));
    expect(left.disks[0]?.size).toBe(65536);
  });

  test('whose bitmap is gone are found out by validation', async () => {
    await takeCheckpoint('c.0');
    const [gone] = await connection.checkpoints(vm.uuid);
    await connection.deleteCheckpoint(vm.uuid, 'c.0');
    const xml = gone?.xml ?? '';
    await expect(connection.createCheckpoint(vm.uuid, xml, { redefineValidate: true })).rejects.toMatchObject({
      code: 'CHECKPOINT_INCONSISTENT',
    });
    await connection.createCheckpoint(vm.uuid, xml, { redefine: true });
    await expect(connection.backupBegin(vm.uuid, job('c.0'))).rejects.toMatchObject({
      code: 'CHECKPOINT_INCONSISTENT',
    });
    await connection.deleteCheckpoint(vm.uuid, 'c.0', { metadataOnly: true });
  });

  test('can be redefined while the VM is off, and not deleted', async () => {
    await takeCheckpoint('c.0');
    await vm.destroy();
    const list = await connection.checkpoints(vm.uuid);
    await connection.deleteCheckpoint(vm.uuid, 'c.0', { metadataOnly: true });
    await connection.createCheckpoint(vm.uuid, list[0]?.xml ?? '', { redefine: true });
    expect(await connection.checkpoints(vm.uuid)).toEqual(list);
    await expect(connection.deleteCheckpoint(vm.uuid, 'c.0')).rejects.toMatchObject({ code: 'OPERATION_UNSUPPORTED' });
    await vm.start();
    await connection.backupBegin(vm.uuid, job('c.0'));
    await connection.abortJob(vm.uuid);
  });
});

describe('a VM', () => {
  test('with an odd name and disk path is found and described', async () => {
    const image = join(libvirt.workFolder, `disk "q" 'x' [a] <&> é.qcow2`);
    await libvirt.run('qemu-img', ['create', '-q', '-f', 'qcow2', image, '1M']);
    const odd = await libvirt.createVm({ name: ODD_NAME, disks: [{ target: 'vda', image }], start: false });
    expect(await connection.lookup(ODD_NAME)).toMatchObject({
      uuid: odd.uuid,
      name: ODD_NAME,
      state: 'shutoff',
      id: null,
    });
    const parsed = await parseDomain(await connection.domainXml(odd.uuid, { inactive: true }));
    expect(parsed).toMatchObject({ name: ODD_NAME, uuid: odd.uuid, disks: [{ target: 'vda', source: image }] });
    await connection.start(odd.uuid, { paused: true });
    expect(await connection.lookup(odd.uuid)).toMatchObject({ state: 'paused', active: true });
    await connection.destroy(odd.uuid);
    await odd.undefine();
  });

  test('without an agent that answers is not frozen, and the error says why', async () => {
    await expect(connection.freeze(vm.uuid)).rejects.toMatchObject({ code: 'OPERATION_INVALID' }); // paused
    await connection.resume(vm.uuid);
    await connection.setAgentTimeout(vm.uuid, 1);
    for (const attempt of [
      () => connection.freeze(vm.uuid),
      () => connection.freeze(vm.uuid, ['/', '/home']),
      () => connection.thaw(vm.uuid),
    ]) {
      await expect(attempt()).rejects.toMatchObject({ code: 'AGENT_UNRESPONSIVE' });
    }
  });

  test('that has gone is missed by every call', async () => {
    const uuid = '00000000-0000-4000-8000-000000000000';
    for (const attempt of [
      () => connection.domainXml(uuid),
      () => connection.backupBegin(uuid, job()),
      () => connection.backupXml(uuid),
      () => connection.jobInfo(uuid),
      () => connection.abortJob(uuid),
      () => connection.checkpoints(uuid),
      () => connection.checkpointXml(uuid, 'a'),
      () => connection.createCheckpoint(uuid, checkpoint('a')),
      () => connection.deleteCheckpoint(uuid, 'a'),
      () => connection.freeze(uuid),
      () => connection.thaw(uuid),
      () => connection.suspend(uuid),
      () => connection.resume(uuid),
      () => connection.start(uuid),
      () => connection.shutdown(uuid),
      () => connection.destroy(uuid),
    ]) {
      await expect(attempt()).rejects.toMatchObject({ code: 'NO_DOMAIN' });
    }
  });
});
