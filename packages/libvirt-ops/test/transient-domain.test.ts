import { join } from 'node:path';
import { identical, makeImage, type NbdServer, run, startQemuNbd, TestLibvirt } from '@virtnbd/test-kit';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { LibvirtConnection } from '../src/index.ts';

const UUID = '5d3b2f4e-6f0a-4c52-9d0e-0a1b2c3d4e5f';
const MIB = 1024 * 1024;

let libvirt: TestLibvirt;
let connection: LibvirtConnection;
let base: string;
let server: NbdServer;
let overlay: string;

beforeAll(async () => {
  libvirt = await TestLibvirt.start();
  base = join(libvirt.workFolder, 'base.raw');
  await makeImage(base, { format: 'raw', size: 16 * MIB });
  await run('qemu-io', ['-f', 'raw', '-c', 'write -q -P 0x5a 1M 3M', base]);
});

afterAll(() => libvirt?.stop());

beforeEach(async () => {
  server = await startQemuNbd(base, { format: 'raw', exportName: 'vda', readOnly: true });
  overlay = join(libvirt.workFolder, 'overlay.qcow2');
  const backing = ['-u', '-F', 'raw', '-b', `nbd+unix:///vda?socket=${server.socket}`];
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', ...backing, overlay, String(16 * MIB)]);
  await run('chmod', ['666', overlay, server.socket]);
  connection = await LibvirtConnection.open(libvirt.uri);
});

// No test leaves a domain behind.
afterEach(async () => {
  for (const { uuid, active, persistent } of await connection.domainList()) {
    if (active) await connection.destroy(uuid);
    if (persistent) await libvirt.virsh('undefine', uuid);
  }
  await connection.close();
  await server.stop();
});

const xml = (): string => `<domain type='qemu'><name>transient</name><uuid>${UUID}</uuid><memory unit='MiB'>32</memory>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${overlay}'/>
<backingStore type='network'><format type='raw'/><source protocol='nbd' name='vda'><host transport='unix' socket='${server.socket}'/></source><backingStore/></backingStore>
<target dev='vda' bus='virtio'/></disk>
<video><model type='vga'/></video><memballoon model='none'/></devices></domain>`;

/** What the domain's definition is once the pull has ended. */
const alone = (): string => xml().replace(/<backingStore type=.*<\/backingStore>/s, '');

describe('a domain that is not defined', () => {
  test('runs until it is ended, and is gone then', async () => {
    const info = await connection.createDomain(xml(), { paused: true });
    expect(info).toMatchObject({ uuid: UUID, name: 'transient', state: 'paused', persistent: false, active: true });
    await connection.destroy(UUID);
    await expect(connection.lookup(UUID)).rejects.toMatchObject({ code: 'NO_DOMAIN' });
  });

  test('stays when it was defined while it ran', async () => {
    await connection.createDomain(xml(), { paused: true });
    expect(await connection.defineDomain(alone())).toMatchObject({ active: true, persistent: true, state: 'paused' });
    await connection.destroy(UUID);
    expect(await connection.lookup(UUID)).toMatchObject({ state: 'shutoff', persistent: true });
    expect(await connection.domainXml(UUID)).not.toContain(server.socket);
  });

  test('shows its screen', async () => {
    await connection.createDomain(xml());
    const { type, data } = await connection.screenshot(UUID);
    // PNG since libvirt 8.8 and QEMU 7.1, portable pixmap before.
    expect(type).toMatch(/^image\/(png|x-portable-pixmap)$/);
    expect(Buffer.from(data.subarray(0, 4)).toString('latin1')).toMatch(type === 'image/png' ? /^.PNG$/ : /^P6/);
    expect(data.length).toBeGreaterThan(100);
  });
});

describe('a block pull', () => {
  test('leaves an image that stands alone, with what was below it', async () => {
    await connection.createDomain(xml(), { paused: true });
    const seen: number[] = [];
    await connection.blockJobs.pull(UUID, 'vda', { onProgress: ({ end }) => seen.push(end) });
    expect(await connection.domainXml(UUID)).not.toContain(server.socket);
    await connection.destroy(UUID);
    await server.stop();
    const copy = join(libvirt.workFolder, 'copy.raw');
    await run('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', overlay, copy]);
    expect(await identical(copy, base)).toBe(true);
  });

  test('fails when what is below cannot be read', async () => {
    await connection.createDomain(xml(), { paused: true });
    await server.stop();
    await expect(connection.blockJobs.pull(UUID, 'vda')).rejects.toMatchObject({ code: 'PULL_FAILED' });
  });

  test('is cancelled by an abort', async () => {
    await connection.createDomain(xml(), { paused: true });
    const cancel = new AbortController();
    const pulling = connection.blockJobs.pull(UUID, 'vda', {
      signal: cancel.signal,
      onProgress: () => cancel.abort(new Error('enough')),
    });
    // A small disk may be done before the first look at it.
    await pulling.catch((error: unknown) => expect(error).toMatchObject({ message: 'enough' }));
    expect(await connection.lookup(UUID)).toMatchObject({ state: 'paused' });
  });
});

test('capabilities tell of the host', async () => {
  expect(await connection.capabilities()).toContain('<capabilities>');
});
