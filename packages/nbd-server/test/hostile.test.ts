import { setTimeout as delay } from 'node:timers/promises';
import {
  encodeInfoRequest,
  encodeOption,
  encodeRequest,
  NBD_CMD_READ,
  NBD_CMD_WRITE,
  NBD_OPT_GO,
  NBD_OPT_LIST,
  NBD_OPT_STRUCTURED_REPLY,
  SIMPLE_REPLY_LENGTH,
} from '@virtnbd/nbd-protocol';
import { waitFor, withSeed } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import { MemorySource, pattern, WritableSource } from './memory-source.ts';
import { CLIENT_FLAGS, RawClient } from './raw-client.ts';
import { serve } from './serving.ts';

const MIB = 1 << 20;
const content = pattern(4 * MIB);
const go = encodeOption(NBD_OPT_GO, encodeInfoRequest({ exportName: '', kinds: [] }));
const read = (offset: number, length: number) =>
  encodeRequest({ command: NBD_CMD_READ, flags: 0, cookie: 1n, offset, length });
const write = (offset: number, length: number) =>
  encodeRequest({ command: NBD_CMD_WRITE, flags: 0, cookie: 2n, offset, length });

test('a session that comes split at any byte is the same session', async () => {
  const source = new WritableSource(Buffer.from(content));
  // One request at a time: otherwise the read might overtake the write.
  await using serving = await serve(source, { maxRequests: 1 });
  const session = Buffer.concat([
    CLIENT_FLAGS,
    encodeOption(NBD_OPT_LIST),
    encodeOption(99, Buffer.from('unknown')),
    go,
    write(4096, 20),
    Buffer.from('twenty bytes of data'),
    read(4090, 40),
  ]);
  const answers = async (split: number): Promise<Buffer> => {
    using client = await RawClient.connect(serving.path);
    client.send(session.subarray(0, split));
    await new Promise((resolve) => setImmediate(resolve));
    client.send(session.subarray(split));
    return await client.read(expected);
  };
  // greeting; list of one; refusal; two infos and an end; a write's reply; a read's
  const refusal = 20 + 'this server does not know the option'.length;
  const expected = 18 + (24 + 20) + refusal + (32 + 34 + 20) + SIMPLE_REPLY_LENGTH * 2 + 40;
  const whole = await answers(0);
  expect(whole.subarray(-34, -14).toString()).toBe('twenty bytes of data');
  for (let split = 1; split < session.byteLength; split++) expect((await answers(split)).equals(whole)).toBe(true);
});

test.each([
  ['in place of client flags', Buffer.alloc(0), Buffer.alloc(1000, 0xff)],
  ['in place of an option', CLIENT_FLAGS, Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')],
  ['an option of two gigabytes', CLIENT_FLAGS, encodeOption(3).fill(0x7f, 12)],
  ['in place of a request', Buffer.concat([CLIENT_FLAGS, go]), Buffer.alloc(100, 0xaa)],
])('nonsense %s ends that connection, and only that one', async (_, before, nonsense) => {
  await using serving = await serve(new MemorySource(content));
  using other = await RawClient.opened(serving.path);
  using client = await RawClient.connect(serving.path);
  client.send(before, nonsense);
  await client.ended();
  await waitFor(() => serving.events.find(({ type }) => type === 'disconnected'));
  expect(serving.events.at(-1)).toMatchObject({ error: { code: 'PROTOCOL' }, left: 1 });
  other.send(read(0, 512));
  await other.read(SIMPLE_REPLY_LENGTH + 512);
});

test('random bytes at any stage never bring the server down', async () => {
  await using serving = await serve(new WritableSource(Buffer.from(content)), { handshakeTimeoutMs: 500 });
  await withSeed(async (random) => {
    for (let round = 0; round < 100; round++) {
      using client = await RawClient.connect(serving.path);
      const prefix = random.pick([Buffer.alloc(0), CLIENT_FLAGS, Buffer.concat([CLIENT_FLAGS, go]), read(0, 512)]);
      const bytes = Buffer.concat([prefix, random.pick([read(0, 4096), write(0, 9), go]), random.bytes(200)]);
      const at = random.integer(0, bytes.byteLength - 1);
      bytes[at] = random.integer(0, 255);
      client.send(bytes);
      await delay(1);
    }
  });
  using client = await RawClient.opened(serving.path);
  client.send(read(0, 512));
  await client.read(SIMPLE_REPLY_LENGTH + 512);
});

test('clients that never read their replies hold a bounded part of the disk in memory, and nobody up', async () => {
  const source = new MemorySource(content);
  let bytes = 0;
  const counted = {
    size: source.size,
    read: (offset: number, buffer: Uint8Array) => {
      bytes += buffer.byteLength;
      return source.read(offset, buffer);
    },
  };
  const maxMemory = 4 * MIB;
  await using serving = await serve(counted, { maxMemory });
  const stuck = await Promise.all(Array.from({ length: 6 }, () => RawClient.opened(serving.path)));
  for (const client of stuck) {
    client.socket.pause();
    client.send(...Array.from({ length: 30 }, () => read(0, 4 * MIB)));
  }
  let before = -1;
  await waitFor(
    () => {
      const still = bytes === before;
      before = bytes;
      return still && bytes > 0;
    },
    { intervalMs: 200, what: 'the server to wait for its clients' },
  );
  // What waits, a piece for each client on top, and what the sockets hold.
  expect(bytes).toBeLessThanOrEqual(maxMemory + 6 * 2 * MIB);
  using client = await RawClient.opened(serving.path);
  for (let round = 0; round < 20; round++) {
    client.send(read(0, MIB));
    await client.read(SIMPLE_REPLY_LENGTH + MIB);
  }
  for (const one of stuck) one[Symbol.dispose]();
});

test('a client that stops in the middle of a write holds nobody up', async () => {
  const source = new WritableSource(Buffer.from(content));
  await using serving = await serve(source, { maxMemory: MIB });
  using half = await RawClient.opened(serving.path);
  half.send(write(0, MIB), Buffer.alloc(1000));
  using client = await RawClient.opened(serving.path);
  client.send(write(0, 512), Buffer.alloc(512, 1));
  await client.read(SIMPLE_REPLY_LENGTH);
  expect(source.bytes[0]).toBe(1);
});

test('more clients than allowed are turned away, until one leaves', async () => {
  await using serving = await serve(new MemorySource(content), { maxConnections: 2 });
  const first = await RawClient.opened(serving.path);
  using second = await RawClient.opened(serving.path);
  using third = await RawClient.connect(serving.path);
  await third.ended();
  await waitFor(() => serving.events.some(({ type }) => type === 'refused'));
  first[Symbol.dispose]();
  await waitFor(() => serving.server.connections.length === 1);
  using fourth = await RawClient.opened(serving.path);
  expect([second, fourth].every(({ socket }) => !socket.closed)).toBe(true);
});

test('clients that end together are counted down to none', async () => {
  await using serving = await serve(new MemorySource(content));
  const clients = await Promise.all(Array.from({ length: 8 }, () => RawClient.opened(serving.path)));
  for (const client of clients) client[Symbol.dispose]();
  const ends = () => serving.events.filter((event) => event.type === 'disconnected');
  await waitFor(() => ends().length === 8);
  expect(ends().map(({ left }) => left)).toEqual([7, 6, 5, 4, 3, 2, 1, 0]);
});

test('a client that goes away in mid-read ends what is done for it', async () => {
  let aborted = false;
  const source = {
    size: MIB,
    read: (_offset: number, _buffer: Uint8Array, options: { signal?: AbortSignal } = {}) =>
      new Promise<void>((_, reject) => {
        options.signal?.addEventListener('abort', () => {
          aborted = true;
          reject(options.signal?.reason);
        });
      }),
  };
  await using serving = await serve(source);
  const client = await RawClient.opened(serving.path, [NBD_OPT_STRUCTURED_REPLY]);
  client.send(read(0, 4096));
  await delay(20);
  client[Symbol.dispose]();
  await waitFor(() => serving.events.some(({ type }) => type === 'disconnected'));
  expect(aborted).toBe(true);
  expect(serving.events.some(({ type }) => type === 'source-error')).toBe(false);
});
