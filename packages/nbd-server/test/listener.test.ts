import { stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { NbdClient } from '@virtnbd/nbd-client';
import { run, tempFolder } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { type NbdExport, NbdServer, type SocketFiles } from '../src/index.ts';
import { MemorySource, pattern } from './memory-source.ts';

const source = new MemorySource(pattern(8192));
const exports: NbdExport[] = [{ source }];

const files: SocketFiles & { removed: string[] } = {
  removed: [],
  async stat(path) {
    const found = await stat(path).catch(() => null);
    return found === null ? null : { kind: found.isSocket() ? 'socket' : 'file' };
  },
  async remove(path) {
    files.removed.push(path);
    await (await import('node:fs/promises')).rm(path);
  },
};

/** A socket file whose server was killed. */
async function deadSocket(path: string): Promise<void> {
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  await run(process.execPath, ['-e', script]).catch(() => {});
  expect((await stat(path)).isSocket()).toBe(true);
}

describe('a unix socket', () => {
  test('is for its owner only, unless told, and goes with its server', async () => {
    await using folder = await tempFolder();
    const path = join(folder.path, 'nbd.sock');
    const umask = process.umask(0o022);
    try {
      const server = await NbdServer.listen({ path }, { exports });
      expect((await stat(path)).mode & 0o777).toBe(0o600);
      await server.close();
      expect(await stat(path).catch(() => null)).toBe(null);
      await using open = await NbdServer.listen({ path, mode: 0o666 }, { exports });
      expect((await stat(path)).mode & 0o777).toBe(0o666);
      expect(open.address).toEqual({ path });
      expect(process.umask(0o022)).toBe(0o022);
    } finally {
      process.umask(umask);
    }
  });

  test('replaces a dead socket where it may', async () => {
    await using folder = await tempFolder();
    const path = join(folder.path, 'nbd.sock');
    await deadSocket(path);
    await expect(NbdServer.listen({ path }, { exports })).rejects.toMatchObject({ code: 'ADDRESS_IN_USE' });
    await using server = await NbdServer.listen({ path, files }, { exports });
    expect(files.removed).toEqual([path]);
    await using client = await NbdClient.connect({ path });
    expect([client.size, server.connections.length]).toEqual([8192, 1]);
  });

  test('in a folder that does not exist is refused with the reason', async () => {
    await using folder = await tempFolder();
    const path = join(folder.path, 'none', 'nbd.sock');
    await expect(NbdServer.listen({ path }, { exports })).rejects.toThrow(/its folder does not exist/);
  });

  test('never replaces a living socket, or what is no socket', async () => {
    await using folder = await tempFolder();
    const [living, plain] = [join(folder.path, 'living'), join(folder.path, 'plain')];
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(living, resolve));
    await writeFile(plain, 'precious');
    for (const path of [living, plain]) {
      await expect(NbdServer.listen({ path, files }, { exports })).rejects.toMatchObject({ code: 'ADDRESS_IN_USE' });
      expect(await stat(path)).toBeTruthy();
    }
    other.close();
  });

  test('may be in the abstract namespace', async () => {
    const path = `\0virtnbd-test-${process.pid}`;
    await using server = await NbdServer.listen({ path }, { exports });
    await using client = await NbdClient.connect({ path });
    expect([client.size, server.connections[0]?.peer]).toEqual([8192, 'unix']);
  });
});

describe('TCP', () => {
  test('is on loopback unless told, and a taken port is an error', async () => {
    await using server = await NbdServer.listen({ port: 0 }, { exports });
    const { address } = server;
    if (!('port' in address)) throw new Error('no port');
    expect(address.host).toBe('127.0.0.1');
    await using client = await NbdClient.connect({ host: '127.0.0.1', port: address.port });
    expect(client.size).toBe(8192);
    const second = NbdServer.listen({ port: address.port }, { exports });
    await expect(second).rejects.toMatchObject({ code: 'ADDRESS_IN_USE' });
  });
});

test('close answers what is under way, ends idle clients, and takes nothing more', async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, 'nbd.sock');
  const slow = new MemorySource(pattern(8192));
  slow.before = () => new Promise((resolve) => setTimeout(resolve, 100));
  const server = await NbdServer.listen({ path }, { exports: [{ source: slow }] });
  const busy = await NbdClient.connect({ path });
  const idle = await NbdClient.connect({ path });
  const buffer = Buffer.alloc(8192);
  const reading = busy.read(0, buffer);
  await new Promise((resolve) => setTimeout(resolve, 20));
  await Promise.all([server.close(), server.close()]);
  await reading;
  expect(buffer.equals(slow.bytes)).toBe(true);
  await expect(idle.read(0, buffer)).rejects.toMatchObject({ code: 'CLOSED' });
  await expect(NbdClient.connect({ path })).rejects.toMatchObject({ code: 'CONNECT' });
  expect(server.connections).toEqual([]);
});

test('an abort closes the server at once', async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, 'nbd.sock');
  const stop = new AbortController();
  const server = await NbdServer.listen({ path }, { exports, signal: stop.signal });
  const client = await NbdClient.connect({ path });
  stop.abort();
  await server.close();
  await expect(client.read(0, Buffer.alloc(1))).rejects.toMatchObject({ code: 'CLOSED' });
  await expect(NbdServer.listen({ path }, { exports, signal: stop.signal })).rejects.toBe(stop.signal.reason);
});

test.each<[string, () => Promise<NbdServer>]>([
  ['no export', () => NbdServer.listen({ port: 0 }, { exports: [] })],
  ['two exports of a name', () => NbdServer.listen({ port: 0 }, { exports: [{ source }, { source }] })],
  ['a default export that is not there', () => NbdServer.listen({ port: 0 }, { exports, defaultExport: 'x' })],
  ['a block size of 3', () => NbdServer.listen({ port: 0 }, { exports: [{ source, blockSize: { minimum: 3 } }] })],
  [
    'a maximum of 1 GiB',
    () => NbdServer.listen({ port: 0 }, { exports: [{ source, blockSize: { maximum: 2 ** 30 } }] }),
  ],
  ['no connections', () => NbdServer.listen({ port: 0 }, { exports, maxConnections: 0 })],
  ['a path that is too long', () => NbdServer.listen({ path: `/tmp/${'x'.repeat(120)}` }, { exports })],
  ['a certificate that is none', () => NbdServer.listen({ port: 0 }, { exports, tls: { cert: 'x', key: 'y' } })],
])('%s is refused before anything listens', async (_, start) => {
  await expect(start()).rejects.toMatchObject({ name: 'NbdServerError', code: 'USAGE' });
});
