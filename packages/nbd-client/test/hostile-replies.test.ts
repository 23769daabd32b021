import {
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_READ,
  NBD_FLAG_HAS_FLAGS,
  NBD_FLAG_SEND_FLUSH,
  type Request,
} from '@virtnbd/nbd-protocol';
import { describe, expect, test } from 'vitest';
import { NbdClient } from '../src/index.ts';
import { collect, errorOf } from './expect-error.ts';
import { repliesTo } from './replies.ts';
import { type Script, ScriptedServer } from './scripted-server.ts';

type Answer = (request: Request) => Uint8Array;
const CONTEXTS = ['base:allocation', 'qemu:dirty-bitmap:b'];
const zeroes = (length: number) => new Uint8Array(length);

async function session(answer: Answer, script: Script = {}) {
  const server = await ScriptedServer.start({
    contexts: CONTEXTS,
    flags: NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH,
    ...script,
    onRequest: (request, socket) => {
      // The flush is left without an answer: it must fail with the connection.
      if (request.command === NBD_CMD_READ || request.command === NBD_CMD_BLOCK_STATUS) socket.write(answer(request));
    },
  });
  return { server, client: await NbdClient.connect({ path: server.path }, { metaContexts: CONTEXTS }) };
}

const reads: Record<string, Answer> = {
  'an unknown cookie': () => repliesTo({ cookie: 999n }).data(4096, zeroes(512), true),
  'a cookie past 2^53': () => repliesTo({ cookie: 2n ** 63n }).simple(5),
  'an answer twice': (r) =>
    Buffer.concat([repliesTo(r).data(4096, zeroes(512), true), repliesTo(r).data(4096, zeroes(512), true)]),
  'no magic number': () => Buffer.from('HTTP/1.1 200 OK and so on'),
  'bytes before the request': (r) => repliesTo(r).data(4095, zeroes(512), true),
  'bytes past the request': (r) => repliesTo(r).data(4097, zeroes(512), true),
  'more bytes than were asked for': (r) => repliesTo(r).data(4096, zeroes(513), true),
  'an offset past 2^53': (r) => repliesTo(r).chunk(1, Buffer.concat([Buffer.alloc(8, 0xff), zeroes(8)]), true),
  'a chunk that claims 4 GiB': (r) => {
    const bytes = repliesTo(r).data(4096, zeroes(8), true);
    bytes.writeUInt32BE(0xffffffff, 16);
    return bytes;
  },
  'overlapping chunks': (r) =>
    Buffer.concat([repliesTo(r).data(4096, zeroes(100)), repliesTo(r).data(4195, zeroes(413), true)]),
  'a hole over data': (r) => Buffer.concat([repliesTo(r).data(4196, zeroes(412)), repliesTo(r).hole(4096, 101, true)]),
  'a hole of no bytes': (r) => repliesTo(r).chunk(2, zeroes(12), true),
  'a hole past the request': (r) => repliesTo(r).hole(4096, 513, true),
  'a data chunk of no bytes': (r) => repliesTo(r).chunk(1, zeroes(8), true),
  'fewer bytes than were asked for': (r) => repliesTo(r).data(4096, zeroes(511), true),
  'no bytes at all': (r) => repliesTo(r).done(),
  'an empty chunk that is not the last': (r) => repliesTo(r).chunk(0, zeroes(0), false),
  'an empty chunk that is not empty': (r) => repliesTo(r).chunk(0, zeroes(1), true),
  'a simple reply': (r) => repliesTo(r).simple(0, zeroes(512)),
  'a simple reply after chunks': (r) => Buffer.concat([repliesTo(r).data(4096, zeroes(512)), repliesTo(r).simple()]),
  'block status': (r) => repliesTo(r).status(1, [512, 0], true),
  'an unknown kind of chunk': (r) => repliesTo(r).chunk(77, zeroes(16), true),
  'an error chunk without an error': (r) => repliesTo(r).chunk(0x8001, zeroes(6), true),
  'an error chunk that is too short': (r) => repliesTo(r).chunk(0x8001, zeroes(5), true),
  'an error message longer than its chunk': (r) =>
    repliesTo(r).chunk(0x8001, Uint8Array.of(0, 0, 0, 5, 0, 9, 0x61), true),
  'an error message of 64 KiB': (r) => repliesTo(r).chunk(0x8001, zeroes(65_541), true),
  'an error outside the request': (r) => repliesTo(r).error(5, '', 8192),
};

const statuses: Record<string, Answer> = {
  'an extent of no bytes': (r) => repliesTo(r).chunk(5, Buffer.from('000000010000000000000001', 'hex'), true),
  'no extent': (r) => repliesTo(r).chunk(5, Buffer.from('00000001', 'hex'), true),
  'an odd length': (r) => repliesTo(r).chunk(5, zeroes(13), true),
  'an unknown context': (r) => repliesTo(r).status(3, [512, 0], true),
  'a context twice': (r) => Buffer.concat([repliesTo(r).status(1, [512, 0]), repliesTo(r).status(1, [512, 0], true)]),
  'fewer contexts than were granted': (r) => repliesTo(r).status(1, [1048576, 0], true),
  'success without any extents': (r) => repliesTo(r).done(),
  'a simple success': (r) => repliesTo(r).simple(),
  data: (r) => repliesTo(r).data(0, zeroes(512), true),
  'more than 2^20 extents': (r) => {
    const bytes = repliesTo(r).status(1, [512, 0], true);
    bytes.writeUInt32BE(4 + 8 * (2 ** 20 + 1), 16);
    return bytes;
  },
};

describe('a read answered with', () => {
  test.each(Object.entries(reads))('%s ends the connection and fails everything in flight', async (_, answer) => {
    const { server, client } = await session(answer);
    await using _server = server;
    const flush = errorOf(client.flush());
    const read = client.read(4096, new Uint8Array(512)).catch((error: unknown) => error);
    expect(await flush).toMatchObject({ code: 'PROTOCOL' });
    // The read itself failed too, unless its first, correct answer came before the nonsense.
    expect([undefined, 'PROTOCOL']).toContain(((await read) as { code?: string } | undefined)?.code);
    expect(await errorOf(client.read(0, new Uint8Array(1)))).toMatchObject({ code: 'PROTOCOL' });
    await client.close();
  });
});

describe('a block-status request answered with', () => {
  test.each(Object.entries(statuses))('%s ends the connection', async (_, answer) => {
    const { server, client } = await session(answer);
    await using _server = server;
    expect(await errorOf(collect(client.extents()))).toMatchObject({ code: 'PROTOCOL' });
    expect(await errorOf(client.flush())).toMatchObject({ code: 'PROTOCOL' });
  });
});

test('a structured reply that was not agreed on ends the connection', async () => {
  const { server, client } = await session((r) => repliesTo(r).data(4096, zeroes(512), true), { structured: false });
  await using _server = server;
  expect(await errorOf(client.read(4096, new Uint8Array(512)))).toMatchObject({
    code: 'PROTOCOL',
    offset: 4096,
    length: 512,
  });
});

test('bytes past the end of a request are never written to its buffer, nor around it', async () => {
  const { server, client } = await session((r) => repliesTo(r).data(4000, new Uint8Array(512).fill(1), true));
  await using _server = server;
  const around = new Uint8Array(2048);
  expect(await errorOf(client.read(4096, around.subarray(512, 1024)))).toMatchObject({ code: 'PROTOCOL' });
  expect(around.every((byte) => byte === 0)).toBe(true);
});

test("a server's message cannot put control characters into ours", async () => {
  const { server, client } = await session((r) => repliesTo(r).error(5, 'a\u001b[31m\nb'));
  await using _server = server;
  const error = await errorOf(client.read(4096, new Uint8Array(512)));
  expect(error).toMatchObject({ code: 'REQUEST', errno: 'EIO' });
  expect(error.message).toContain('EIO, a [31m b');
});
