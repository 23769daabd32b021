import { NBD_CMD_DISC, NBD_CMD_READ, NBD_FLAG_HAS_FLAGS, NBD_FLAG_SEND_FLUSH } from '@virtnbd/nbd-protocol';
import { waitFor } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { NbdClient } from '../src/index.ts';
import { collect, errorOf } from './expect-error.ts';
import { repliesTo } from './replies.ts';
import { ScriptedServer } from './scripted-server.ts';

describe('a request that takes too long', () => {
  test('rejects with TIMEOUT, is not written later, and leaves the connection usable', async () => {
    const late: (() => void)[] = [];
    await using server = await ScriptedServer.start({
      onRequest: (request, socket) => {
        const bytes = repliesTo(request).data(request.offset, new Uint8Array(request.length).fill(9), true);
        if (request.offset === 0) late.push(() => socket.write(bytes));
        else socket.write(bytes);
      },
    });
    await using client = await NbdClient.connect({ path: server.path }, { requestTimeoutMs: 30 });
    const buffer = new Uint8Array(512);
    const error = await errorOf(client.read(0, buffer));
    expect(error).toMatchObject({ code: 'TIMEOUT', offset: 0, length: 512 });
    late[0]?.();
    const other = new Uint8Array(512);
    await client.read(4096, other);
    expect(other.every((byte) => byte === 9)).toBe(true);
    expect(buffer.every((byte) => byte === 0)).toBe(true);
  });

  test('may have a time-out of its own, longer or none', async () => {
    await using server = await ScriptedServer.start({
      onRequest: (request, socket) =>
        setTimeout(() => socket.write(repliesTo(request).hole(request.offset, request.length, true)), 60),
    });
    await using client = await NbdClient.connect({ path: server.path }, { requestTimeoutMs: 5 });
    expect(await errorOf(client.read(0, new Uint8Array(512)))).toMatchObject({ code: 'TIMEOUT' });
    await client.read(0, new Uint8Array(512), { timeoutMs: 0 });
    await client.read(0, new Uint8Array(512), { timeoutMs: 30_000 });
  });

  test('holds for each request of a walk over extents', async () => {
    await using server = await ScriptedServer.start({ contexts: ['base:allocation'] });
    await using client = await NbdClient.connect({ path: server.path }, { metaContexts: ['base:allocation'] });
    expect(await errorOf(collect(client.extents({ timeoutMs: 20 })))).toMatchObject({ code: 'TIMEOUT' });
    client.destroy();
  });
});

describe('a server that says nothing', () => {
  test('while it owes replies loses the connection, with TIMEOUT for all that is in flight', async () => {
    await using server = await ScriptedServer.start();
    const client = await NbdClient.connect({ path: server.path }, { idleTimeoutMs: 40 });
    const reads = [0, 1, 2].map((i) => errorOf(client.read(i * 512, new Uint8Array(512))));
    for (const error of await Promise.all(reads)) expect(error).toMatchObject({ code: 'TIMEOUT' });
    await waitFor(() => server.open === 0, { what: 'the end of the connection', intervalMs: 5 });
    expect(await errorOf(client.read(0, new Uint8Array(1)))).toMatchObject({ code: 'TIMEOUT' });
    await client.close();
  });

  test('in mid-reply loses it too', async () => {
    await using server = await ScriptedServer.start({
      onRequest: (request, socket) =>
        socket.write(repliesTo(request).data(request.offset, new Uint8Array(request.length), true).subarray(0, 100)),
    });
    const client = await NbdClient.connect({ path: server.path }, { idleTimeoutMs: 40 });
    expect(await errorOf(client.read(0, new Uint8Array(512)))).toMatchObject({ code: 'TIMEOUT' });
  });

  test('because nothing was asked may do so for ever', async () => {
    await using server = await ScriptedServer.start({
      flags: NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH,
      onRequest: (request, socket) => socket.write(repliesTo(request).done()),
    });
    await using client = await NbdClient.connect({ path: server.path }, { idleTimeoutMs: 20 });
    await client.flush();
    await new Promise((resolve) => setTimeout(resolve, 100));
    await client.flush();
  });

  test('but drips is waited for', async () => {
    await using server = await ScriptedServer.start({
      onRequest: async (request, socket) => {
        const bytes = repliesTo(request).data(request.offset, new Uint8Array(request.length), true);
        for (let at = 0; at < bytes.byteLength; at += 4) {
          socket.write(bytes.subarray(at, at + 4));
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      },
    });
    await using client = await NbdClient.connect({ path: server.path }, { idleTimeoutMs: 2000 });
    await client.read(0, new Uint8Array(64));
  });
});

test('a server that sends errors without an end loses the connection', async () => {
  let sent = 0;
  await using server = await ScriptedServer.start({
    onRequest: (request, socket) => {
      const one = repliesTo(request).error(5, 'again', undefined, false);
      const more = () => {
        sent++;
        if (!socket.destroyed) socket.write(one, () => setImmediate(more));
      };
      more();
    },
  });
  const client = await NbdClient.connect({ path: server.path });
  expect(await errorOf(client.read(0, new Uint8Array(512)))).toMatchObject({ code: 'PROTOCOL' });
  expect(sent).toBeGreaterThan(200);
  expect(sent).toBeLessThan(100_000);
});

test('the limits on requests and bytes in flight can be set', async () => {
  const held: (() => void)[] = [];
  await using server = await ScriptedServer.start({
    size: 64 * 1024 * 1024,
    onRequest: (request, socket) => {
      if (request.command === NBD_CMD_DISC) return;
      held.push(() => socket.write(repliesTo(request).hole(request.offset, request.length, true)));
    },
  });
  const limits = { maxRequestsInFlight: 3, maxBytesInFlight: 1024 * 1024 };
  await using client = await NbdClient.connect({ path: server.path }, limits);
  let most = 0;
  let bytes = 0;
  const timer = setInterval(() => {
    most = Math.max(most, held.length);
    const open = server.requests.slice(-held.length).reduce((sum, { length }) => sum + length, 0);
    bytes = Math.max(bytes, held.length === 0 ? 0 : open);
    for (const send of held.splice(0)) send();
  }, 5);
  const small = Array.from({ length: 10 }, (_, i) => client.read(i * 512, new Uint8Array(512)));
  await Promise.all([...small, client.read(0, new Uint8Array(8 * 1024 * 1024))]);
  clearInterval(timer);
  expect(most).toBe(3);
  expect(bytes).toBeLessThanOrEqual(1024 * 1024);
  expect(server.requests.every(({ command }) => command === NBD_CMD_READ)).toBe(true);
});
