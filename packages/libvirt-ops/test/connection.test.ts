import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, test } from 'vitest';
import { LibvirtConnection, LibvirtError } from '../src/index.ts';

// libvirt's own test driver needs no daemon: one running domain named 'test'.
const URI = 'test:///default';
const open: LibvirtConnection[] = [];

async function connect(uri = URI, options = {}): Promise<LibvirtConnection> {
  const connection = await LibvirtConnection.open(uri, options);
  open.push(connection);
  return connection;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((connection) => connection.close()));
});

describe('a connection', () => {
  test('finds a domain by its name and by its uuid', async () => {
    const connection = await connect();
    const byName = await connection.lookup('test');
    expect(byName).toMatchObject({ name: 'test', id: 1, state: 'running', persistent: true, active: true });
    expect(byName.uuid).toMatch(/^[0-9a-f-]{36}$/);
    expect(await connection.lookup(byName.uuid)).toEqual(byName);
    expect(await connection.domainList()).toEqual([byName]);
  });

  test('says which domain is missing, where, and how to see what there is', async () => {
    const connection = await connect();
    const error = await connection.lookup('no such "vm" <&>').catch((e: unknown) => e);
    expect(error).toBeInstanceOf(LibvirtError);
    expect(error).toMatchObject({ code: 'NO_DOMAIN', libvirtCode: 42, call: 'virDomainLookupByName' });
    expect(String(error)).toContain('no such "vm" <&>');
    expect(String(error)).toContain('list --all');
  });

  test('looks for a name that has the form of a uuid', async () => {
    const connection = await connect();
    const error = await connection.lookup('00000000-0000-0000-0000-000000000001').catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'NO_DOMAIN', call: 'virDomainLookupByName' });
  });

  test('tells the versions of the daemon, the hypervisor and the client', async () => {
    const version = await (await connect()).version();
    expect(version.client).toBeGreaterThan(7_002_000);
    expect(version.libvirt).toBe(version.client);
    expect(version.hypervisor).toBeGreaterThan(0);
  });

  test('starts, pauses, resumes and ends a domain', async () => {
    const connection = await connect();
    const { uuid } = await connection.lookup('test');
    const state = async () => (await connection.lookup(uuid)).state;
    await connection.suspend(uuid);
    expect(await state()).toBe('paused');
    await connection.resume(uuid);
    expect(await state()).toBe('running');
    await connection.destroy(uuid);
    expect(await connection.lookup(uuid)).toMatchObject({
      state: 'shutoff',
      id: null,
      active: false,
      persistent: true,
    });
    await connection.start(uuid);
    expect(await state()).toBe('running');
    await connection.shutdown(uuid);
    expect(await state()).toBe('shutoff');
  });

  test('sets whether a domain starts with its host, and refuses a name that is taken', async () => {
    const connection = await connect();
    const xml = '<domain type="test"><name>a &amp; b</name><memory>1024</memory><os><type>hvm</type></os></domain>';
    const defined = await connection.defineDomain(xml);
    expect(defined).toMatchObject({ name: 'a & b', state: 'shutoff', persistent: true, active: false });
    await connection.setAutostart(defined.uuid, true);
    await connection.setAutostart(defined.uuid, false);
    expect(await connection.lookup('a & b')).toEqual(defined);
    await expect(connection.defineDomain('<domain/>')).rejects.toMatchObject({ code: 'NO_NAME' });
    // The uuid is another one: the name is taken.
    await expect(connection.defineDomain(xml)).rejects.toMatchObject({ code: 'OPERATION_FAILED' });
  });

  test('finds no storage pool to refresh where there are none', async () => {
    expect(await (await connect()).refreshPoolAt('/no-pool')).toBeNull();
  });

  test('freezes and thaws file systems, all or those named', async () => {
    const connection = await connect();
    const { uuid } = await connection.lookup('test');
    const all = await connection.freeze(uuid);
    expect(all).toBeGreaterThan(0);
    expect(await connection.thaw(uuid)).toBe(all);
    expect(await connection.freeze(uuid, ['/'])).toBe(1);
    expect(await connection.thaw(uuid)).toBe(1);
  });

  test('refuses changes when it was opened read-only', async () => {
    const connection = await connect(URI, { readOnly: true });
    const { uuid } = await connection.lookup('test');
    await expect(connection.suspend(uuid)).rejects.toMatchObject({ code: 'OPERATION_DENIED' });
    await expect(connection.domainXml(uuid, { secure: true })).rejects.toMatchObject({ code: 'OPERATION_DENIED' });
  });

  test('refuses a text with a NUL, which C would cut', async () => {
    const connection = await connect();
    await expect(connection.lookup('test\0other')).rejects.toMatchObject({ code: 'INVALID_ARG' });
  });

  test('reports a value of the wrong kind as an error of that call, and goes on', async () => {
    const connection = await connect();
    const wrong: unknown = { not: 'a name' };
    await expect(connection.lookup(wrong as string)).rejects.toMatchObject({ code: 'INVALID_ARG' });
    expect((await connection.lookup('test')).name).toBe('test');
  });

  test('passes a text of several megabytes', async () => {
    const connection = await connect();
    const { uuid } = await connection.lookup('test');
    const xml = `<domaincheckpoint><description>${'x'.repeat(8 << 20)}</description></domaincheckpoint>`;
    await connection.createCheckpoint(uuid, xml);
    const [checkpoint] = await connection.checkpoints(uuid);
    expect(checkpoint?.xml.length).toBeGreaterThan(8 << 20);
  });

  test('gives each of 1200 mixed calls, on two connections, its own answer or error', async () => {
    const connections = [await connect(), await connect()];
    const { uuid } = await (connections[0] as LibvirtConnection).lookup('test');
    const results = await Promise.all(
      Array.from({ length: 1200 }, async (_, index) => {
        const connection = connections[index % 2] as LibvirtConnection;
        const wanted = ['test', 'NO_DOMAIN', 'INVALID_ARG', 'NO_DOMAIN_CHECKPOINT'][(index >> 1) % 4];
        const calls = [
          () => connection.lookup('test').then((domain) => domain.name),
          () => connection.lookup(`none-${index}`),
          () => connection.domainXml(`no uuid ${index}`),
          () => connection.checkpointXml(uuid, `none-${index}`),
        ];
        const got = await calls[(index >> 1) % 4]?.().catch((error: LibvirtError) => error.code);
        return got === wanted;
      }),
    );
    expect(results.filter(Boolean)).toHaveLength(1200);
  });
});

describe('opening', () => {
  test('says what to start or check when no daemon answers', async () => {
    const error = await LibvirtConnection.open('qemu:///system?socket=/nowhere/libvirt-sock').catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'CONNECT' });
    expect(String(error)).toMatch(/systemctl start libvirtd/);
    expect(String(error)).toMatch(/group libvirt/);
  });

  test('says that a remote host is to be checked for a remote URI', async () => {
    const error = await LibvirtConnection.open('qemu+unix:///system?socket=/nowhere/s').catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'CONNECT' });
    expect(String(error)).toContain('virsh -c');
  });

  test('rejects with the reason of a signal that has fired', async () => {
    const reason = new Error('no more');
    await expect(LibvirtConnection.open(URI, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  test('answers a daemon that asks for a user and password', async () => {
    await using folder = await temp();
    const file = join(folder.path, 'node.xml');
    await writeFile(file, '<node><auth><user password="s&amp;cret &lt;é&gt;">anna</user></auth></node>');
    const uri = `test://${file}`;
    const good = await connect(uri, { auth: { user: 'anna', password: 's&cret <é>' } });
    expect(await good.domainList()).toEqual([]);
    const wrong = LibvirtConnection.open(uri, { auth: { user: 'anna', password: 'guess' } });
    await expect(wrong).rejects.toMatchObject({ code: 'AUTH_FAILED' });
    await expect(LibvirtConnection.open(uri)).rejects.toThrow(/Give a user and password that the daemon knows/);
    const noPassword = LibvirtConnection.open(uri, { auth: { user: 'anna' } });
    await expect(noPassword).rejects.toMatchObject({ code: expect.stringMatching(/^AUTH_/) });
  });

  test('keeps libvirt itself silent', async () => {
    const index = new URL('../src/index.ts', import.meta.url).href;
    const script = `
      import { LibvirtConnection } from ${JSON.stringify(index)};
      await LibvirtConnection.open('qemu:///system?socket=/nowhere/s').catch(() => undefined);
      await using connection = await LibvirtConnection.open('test:///default');
      await connection.lookup('none').catch(() => undefined);`;
    const result = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
    expect(result).toEqual({ stdout: '', stderr: '' });
  });
});

describe('closing', () => {
  test('lets the calls before it finish, and refuses those after it', async () => {
    const connection = await LibvirtConnection.open(URI);
    const before = connection.lookup('test');
    const closing = connection.close();
    const after = connection.lookup('test').catch((error: LibvirtError) => error.code);
    expect((await before).name).toBe('test');
    expect(await after).toBe('CLOSED');
    await closing;
    await connection.close();
    expect(connection.lost.aborted).toBe(false);
  });

  test('works thirty times in one process, several at once', async () => {
    for (let round = 0; round < 10; round += 1) {
      const connections = await Promise.all([1, 2, 3].map(() => LibvirtConnection.open(URI)));
      await Promise.all(connections.map((connection) => connection.lookup('test')));
      await Promise.all(connections.map((connection) => connection.close()));
    }
  });

  test('by abandoning rejects what is pending and tells that the connection is lost', async () => {
    const connection = await LibvirtConnection.open(URI);
    const pending = connection.lookup('test').catch((error: unknown) => error);
    const reason = new LibvirtError('CLOSED', 'enough');
    connection.abandon(reason);
    expect(await pending).toBe(reason);
    expect(connection.lost.reason).toBe(reason);
    await connection.close();
  });
});

async function temp(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'libvirt-ops-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
