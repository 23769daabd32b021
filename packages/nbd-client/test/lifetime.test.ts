import {
  NBD_CMD_DISC,
  NBD_CMD_READ,
  NBD_FLAG_HAS_FLAGS,
  NBD_FLAG_SEND_FLUSH,
  type Request,
} from '@virtnbd/nbd-protocol';
import { waitFor } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { NbdClient } from '../src/index.ts';
import { errorOf } from './expect-error.ts';
import { repliesTo } from './replies.ts';
import { ScriptedServer } from './scripted-server.ts';

/** A server that answers nothing until it is told to. */
async function holdingServer() {
  const held: (() => void)[] = [];
  const answer = (request: Request) => {
    const reply = repliesTo(request);
    return request.command === NBD_CMD_READ
      ? reply.data(request.offset, new Uint8Array(request.length).fill(9), true)
      : reply.done();
  };
  const server = await ScriptedServer.start({
    size: 64 * 1024 * 1024,
    flags: NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH,
    onRequest: (request, socket) => held.push(() => socket.write(answer(request))),
  });
  const holds = (count: number) => waitFor(() => held.length >= count, { what: `${count} requests`, intervalMs: 5 });
  const answerAll = () => {
    for (const send of held.splice(0)) send();
  };
  return { server, held, holds, answerAll };
}

describe('an aborted read', () => {
  test('rejects at once with the reason, its buffer is not written later, and the connection stays usable', async () => {
    const { server, holds, answerAll } = await holdingServer();
    await using _server = server;
    await using client = await NbdClient.connect({ path: server.path });
    const abort = new AbortController();
    const buffer = new Uint8Array(4096);
    const outcome = expect(client.read(0, buffer, { signal: abort.signal })).rejects.toBe('enough');
    await holds(1);
    abort.abort('enough');
    await outcome;
    const other = new Uint8Array(4096);
    const read = client.read(0, other);
    await holds(2);
    answerAll();
    await read;
    expect(other.every((byte) => byte === 9)).toBe(true);
    expect(buffer.every((byte) => byte === 0)).toBe(true);
  });

  test('in mid-payload throws the rest away', async () => {
    let send = (_part: number) => {};
    await using server = await ScriptedServer.start({
      onRequest: (request, socket) => {
        const bytes = repliesTo(request).data(request.offset, new Uint8Array(request.length).fill(9), true);
        send = (part) => socket.write(part === 1 ? bytes.subarray(0, 528) : bytes.subarray(528));
      },
    });
    await using client = await NbdClient.connect({ path: server.path });
    const abort = new AbortController();
    const buffer = new Uint8Array(4096);
    const outcome = expect(client.read(0, buffer, { signal: abort.signal })).rejects.toBe('enough');
    await waitFor(() => server.requests.length === 1, { what: 'the request', intervalMs: 5 });
    send(1);
    await waitFor(() => buffer[499] === 9, { what: 'the first half', intervalMs: 5 });
    abort.abort('enough');
    await outcome;
    send(2);
    const next = client.read(0, new Uint8Array(512));
    await waitFor(() => server.requests.length === 2, { what: 'the next request', intervalMs: 5 });
    send(1);
    send(2);
    await next;
    expect(buffer.indexOf(0)).toBe(500);
    expect(buffer.subarray(500).every((byte) => byte === 0)).toBe(true);
  });

  test('is never sent where it was still waiting', async () => {
    const { server, holds, held, answerAll } = await holdingServer();
    await using _server = server;
    await using client = await NbdClient.connect({ path: server.path });
    const first = client.read(0, new Uint8Array(32 * 1024 * 1024));
    await holds(1);
    const abort = new AbortController();
    const outcome = expect(client.read(0, new Uint8Array(77), { signal: abort.signal })).rejects.toBe('enough');
    abort.abort('enough');
    await outcome;
    const timer = setInterval(answerAll, 1);
    await first;
    clearInterval(timer);
    expect(held).toEqual([]);
    expect(server.requests.some(({ length }) => length === 77)).toBe(false);
  });

  test('rejects before anything is sent where the signal was aborted already', async () => {
    const { server } = await holdingServer();
    await using _server = server;
    await using client = await NbdClient.connect({ path: server.path });
    await expect(client.read(0, new Uint8Array(1), { signal: AbortSignal.abort('enough') })).rejects.toBe('enough');
    expect(server.requests).toEqual([]);
  });
});

describe('the pipe', () => {
  test('holds no more requests and bytes at a time than its limits, and keeps the order of the calls', async () => {
    const { server, held, answerAll } = await holdingServer();
    await using _server = server;
    await using client = await NbdClient.connect({ path: server.path });
    let most = 0;
    const timer = setInterval(() => {
      most = Math.max(most, held.length);
      answerAll();
    }, 5);
    const reads = Array.from({ length: 100 }, (_, i) => client.read(i * 512, new Uint8Array(512)));
    await Promise.all([...reads, client.read(0, new Uint8Array(client.size))]);
    clearInterval(timer);
    expect(most).toBe(32);
    expect(server.requests.slice(0, 100).map(({ offset }) => offset)).toEqual(
      Array.from({ length: 100 }, (_, i) => i * 512),
    );
    expect(Math.max(...server.requests.map(({ length }) => length))).toBe(512 * 1024);
  });

  test('that was full is filled again once half of its requests are answered, in one go', async () => {
    const { server, held, holds, answerAll } = await holdingServer();
    await using _server = server;
    await using client = await NbdClient.connect({ path: server.path }, { maxRequestsInFlight: 8 });
    const reads = Array.from({ length: 20 }, (_, i) => client.read(i * 512, new Uint8Array(512)));
    await holds(8);
    for (const send of held.splice(0, 3)) send();
    await Promise.all(reads.slice(0, 3));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(server.requests).toHaveLength(8);
    held.shift()?.();
    await waitFor(() => server.requests.length === 12, { what: 'four more', intervalMs: 5 });
    const timer = setInterval(answerAll, 5);
    await Promise.all(reads);
    clearInterval(timer);
  });

  test('takes answers in any order', async () => {
    const { server, held, holds } = await holdingServer();
    await using _server = server;
    await using client = await NbdClient.connect({ path: server.path });
    const order: number[] = [];
    const reads = [0, 1, 2].map((i) => client.read(i * 512, new Uint8Array(512)).then(() => order.push(i)));
    await holds(3);
    for (const send of held.splice(0).reverse()) send();
    await Promise.all(reads);
    expect(order).toEqual([2, 1, 0]);
  });

  test('sends the rest of a long read no more once a part has failed, and rejects when nothing is in flight', async () => {
    let answered = 0;
    await using server = await ScriptedServer.start({
      size: 64 * 1024 * 1024,
      onRequest: (request, socket) => {
        const reply = repliesTo(request);
        answered++;
        socket.write(answered === 3 ? reply.error(5, 'bad') : reply.hole(request.offset, request.length, true));
      },
    });
    await using client = await NbdClient.connect({ path: server.path });
    const error = await errorOf(client.read(0, new Uint8Array(client.size)));
    expect(error).toMatchObject({ code: 'REQUEST', errno: 'EIO', offset: 1024 * 1024, length: 512 * 1024 });
    expect(answered).toBe(server.requests.length);
    expect(answered).toBeLessThan(40);
    await client.read(0, new Uint8Array(512));
  });
});

describe('close', () => {
  test('waits for what is in flight, refuses new calls, then says NBD_CMD_DISC', async () => {
    const { server, holds, answerAll } = await holdingServer();
    await using _server = server;
    const client = await NbdClient.connect({ path: server.path });
    const read = client.read(0, new Uint8Array(512));
    const closed = client.close();
    expect(await errorOf(client.read(0, new Uint8Array(512)))).toMatchObject({ code: 'CLOSED' });
    await holds(1);
    answerAll();
    await read;
    await closed;
    await client.close();
    expect(server.requests.map(({ command }) => command)).toEqual([NBD_CMD_READ, NBD_CMD_DISC]);
  });

  test('does not wait for a request that was aborted', async () => {
    const { server, holds } = await holdingServer();
    await using _server = server;
    const client = await NbdClient.connect({ path: server.path });
    const abort = new AbortController();
    const outcome = expect(client.read(0, new Uint8Array(512), { signal: abort.signal })).rejects.toBe('enough');
    await holds(1);
    abort.abort('enough');
    await outcome;
    await client.close();
    expect(server.requests.at(-1)?.command).toBe(NBD_CMD_DISC);
  });

  test('resolves after the server has gone', async () => {
    const { server, holds } = await holdingServer();
    await using _server = server;
    const client = await NbdClient.connect({ path: server.path });
    const read = errorOf(client.read(0, new Uint8Array(512)));
    await holds(1);
    server.drop();
    expect(await read).toMatchObject({ code: 'CLOSED', offset: 0, length: 512 });
    await client.close();
    expect(await errorOf(client.read(0, new Uint8Array(512)))).toMatchObject({ code: 'CLOSED' });
  });
});

test('destroy fails what is in flight and what waits, with the reason at the bottom of the causes', async () => {
  const { server, holds } = await holdingServer();
  await using _server = server;
  const client = await NbdClient.connect({ path: server.path });
  const reason = new Error('the job was cancelled');
  const reads = Array.from({ length: 40 }, () => errorOf(client.read(0, new Uint8Array(512))));
  await holds(32);
  client.destroy(reason);
  for (const error of await Promise.all(reads)) {
    expect(error).toMatchObject({ code: 'CLOSED', cause: { code: 'CLOSED', cause: reason } });
  }
  await client.close();
  await waitFor(() => server.open === 0, { what: 'the end of the connection', intervalMs: 5 });
});

test('NBD_ESHUTDOWN makes the client leave in good order', async () => {
  await using server = await ScriptedServer.start({
    onRequest: (request, socket) => socket.write(repliesTo(request).error(108, 'going down')),
  });
  const client = await NbdClient.connect({ path: server.path });
  expect(await errorOf(client.read(0, new Uint8Array(512)))).toMatchObject({ code: 'REQUEST', errno: 'ESHUTDOWN' });
  await waitFor(() => server.requests.at(-1)?.command === NBD_CMD_DISC, { what: 'NBD_CMD_DISC', intervalMs: 5 });
  expect(await errorOf(client.read(0, new Uint8Array(512)))).toMatchObject({ code: 'CLOSED' });
});

describe('arguments', () => {
  test.each([
    [-1, 1],
    [0.5, 1],
    [Number.NaN, 1],
    [1024 * 1024, 1],
    [1024 * 1024 - 1, 2],
    [2 ** 53, 1],
  ])('a read of offset %d and length %d is refused with USAGE, and nothing is sent', async (offset, length) => {
    await using server = await ScriptedServer.start();
    await using client = await NbdClient.connect({ path: server.path });
    expect(await errorOf(client.read(offset, new Uint8Array(length)))).toMatchObject({ code: 'USAGE' });
    expect(server.requests).toEqual([]);
  });

  test('commands that the server does not offer are refused with UNSUPPORTED, and nothing is sent', async () => {
    await using server = await ScriptedServer.start();
    await using client = await NbdClient.connect({ path: server.path });
    const calls = [
      client.flush(),
      client.trim(0, 512),
      client.writeZeroes(0, 512),
      client.write(0, new Uint8Array(512), { fua: true }),
    ];
    for (const call of calls) expect(await errorOf(call)).toMatchObject({ code: 'UNSUPPORTED' });
    expect(server.requests).toEqual([]);
  });

  test('reads and writes of no bytes succeed without a request', async () => {
    await using server = await ScriptedServer.start();
    await using client = await NbdClient.connect({ path: server.path });
    await client.read(client.size, new Uint8Array(0));
    await client.write(0, new Uint8Array(0));
    expect(server.requests).toEqual([]);
  });
});
