import {
  encodeGreeting,
  encodeInfo,
  encodeMetaContext,
  encodeOptionReply,
  NBD_INFO_EXPORT,
  NBD_OPT_ABORT,
  NBD_OPT_EXPORT_NAME,
  NBD_OPT_EXTENDED_HEADERS,
  NBD_OPT_GO,
  NBD_OPT_SET_META_CONTEXT,
  NBD_OPT_STRUCTURED_REPLY,
  NBD_REP_ACK,
  NBD_REP_ERR_TLS_REQD,
  NBD_REP_ERR_UNKNOWN,
  NBD_REP_ERR_UNSUP,
  NBD_REP_INFO,
  NBD_REP_META_CONTEXT,
} from '@virtnbd/nbd-protocol';
import { waitFor } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { NbdClient } from '../src/index.ts';
import { errorOf } from './expect-error.ts';
import { repliesTo } from './replies.ts';
import { type Script, ScriptedServer } from './scripted-server.ts';

/** The error of connecting to a server with this script; and nothing stays open. */
async function refusalOf(
  script: Script,
  options: { timeoutMs?: number; signal?: AbortSignal; metaContexts?: string[] } = {},
) {
  await using server = await ScriptedServer.start(script);
  const error = await errorOf(NbdClient.connect({ path: server.path }, options));
  await waitFor(() => server.open === 0, { what: 'the end of the connection', intervalMs: 5 });
  return { error, server };
}

const onGo = (bytes: Uint8Array): Script => ({ onOption: (option) => (option === NBD_OPT_GO ? bytes : undefined) });
const go = (type: number, data?: Uint8Array) => encodeOptionReply(NBD_OPT_GO, type, data);
const exportInfo = (size: string) => Buffer.from(`0000${size}0001`, 'hex');

describe('a handshake', () => {
  test('takes size, flags and the default block sizes from NBD_OPT_GO', async () => {
    await using server = await ScriptedServer.start({ size: 2 ** 53 - 1, flags: 0b1_0000_0011 });
    await using client = await NbdClient.connect({ path: server.path });
    expect(client).toMatchObject({ size: 2 ** 53 - 1, readOnly: true, canMultiConn: true, canFlush: false });
    expect(client.blockSize).toEqual({ minimum: 1, preferred: 4096, maximum: 32 * 1024 * 1024 });
    expect(client.metaContexts).toEqual([]);
    expect(server.options).toEqual([NBD_OPT_EXTENDED_HEADERS, NBD_OPT_STRUCTURED_REPLY, NBD_OPT_GO]);
  });

  test('gives the granted contexts in the order in which they were asked for', async () => {
    await using server = await ScriptedServer.start({ contexts: ['x:1', 'x:2', 'x:3'] });
    await using client = await NbdClient.connect({ path: server.path }, { metaContexts: ['x:3', 'x:9', 'x:1'] });
    expect(client.metaContexts).toEqual(['x:3', 'x:1']);
  });

  test('goes on without contexts where the server does not know them', async () => {
    const script: Script = {
      onOption: (option) =>
        option === NBD_OPT_SET_META_CONTEXT ? encodeOptionReply(option, NBD_REP_ERR_UNSUP) : undefined,
    };
    await using server = await ScriptedServer.start(script);
    await using client = await NbdClient.connect({ path: server.path }, { metaContexts: ['base:allocation'] });
    expect(client.metaContexts).toEqual([]);
  });

  test('falls back to NBD_OPT_EXPORT_NAME for an old server', async () => {
    await using server = await ScriptedServer.start({
      size: 4096,
      structured: false,
      onOption: (option) => (option === NBD_OPT_GO ? go(NBD_REP_ERR_UNSUP) : undefined),
      onRequest: (request, socket) =>
        socket.write(repliesTo(request).simple(0, new Uint8Array(request.length).fill(7))),
    });
    await using client = await NbdClient.connect({ path: server.path });
    const buffer = new Uint8Array(512);
    await client.read(0, buffer);
    expect(client.size).toBe(4096);
    expect(buffer).toEqual(new Uint8Array(512).fill(7));
    expect(server.options).toEqual([
      NBD_OPT_EXTENDED_HEADERS,
      NBD_OPT_STRUCTURED_REPLY,
      NBD_OPT_GO,
      NBD_OPT_EXPORT_NAME,
    ]);
  });

  test('is understood when it comes byte by byte', async () => {
    await using server = await ScriptedServer.start({ trickle: true, size: 12_345, contexts: ['base:allocation'] });
    await using client = await NbdClient.connect({ path: server.path }, { metaContexts: ['base:allocation'] });
    expect(client).toMatchObject({ size: 12_345, metaContexts: ['base:allocation'] });
  });
});

describe('connecting fails', () => {
  test('with CONNECT and the cause where nothing listens', async () => {
    const error = await errorOf(NbdClient.connect({ path: '/nonexistent/nbd.sock' }));
    expect(error).toMatchObject({ code: 'CONNECT', cause: { code: 'ENOENT' } });
    expect(error.message).toContain('/nonexistent/nbd.sock');
  });

  test('with CONNECT where a TCP port is closed', async () => {
    const error = await errorOf(NbdClient.connect({ host: '127.0.0.1', port: 1 }));
    expect(error).toMatchObject({ code: 'CONNECT', cause: { code: 'ECONNREFUSED' } });
  });

  test('with USAGE where the address or a name cannot be', async () => {
    expect((await errorOf(NbdClient.connect({ host: 'localhost', port: 70_000 }))).code).toBe('USAGE');
    expect((await errorOf(NbdClient.connect({ path: '/x' }, { exportName: 'x'.repeat(4097) }))).code).toBe('USAGE');
    const many = Array.from({ length: 17 }, (_, i) => `x:${i}`);
    expect((await refusalOf({}, { metaContexts: many })).error.code).toBe('USAGE');
  });

  test("with HANDSHAKE and the server's own words where the export is unknown, and leaves in good order", async () => {
    const { error, server } = await refusalOf(onGo(go(NBD_REP_ERR_UNKNOWN, Buffer.from('no disk "vdz" here'))));
    expect(server.options.at(-1)).toBe(NBD_OPT_ABORT);
    expect(error).toMatchObject({ code: 'HANDSHAKE', reply: 'NBD_REP_ERR_UNKNOWN' });
    expect(error.message).toContain('no disk "vdz" here');
  });

  test('with HANDSHAKE where the server demands TLS', async () => {
    const { error } = await refusalOf(onGo(go(NBD_REP_ERR_TLS_REQD)));
    expect(error).toMatchObject({ code: 'HANDSHAKE', reply: 'NBD_REP_ERR_TLS_REQD' });
    expect(error.message).toContain('TLS');
  });

  test('with HANDSHAKE where the server does not speak fixed newstyle', async () => {
    expect((await refusalOf({ greeting: encodeGreeting(0) })).error.code).toBe('HANDSHAKE');
  });

  test('with PROTOCOL where it is no NBD server', async () => {
    expect((await refusalOf({ greeting: Buffer.from('220 mail.example.org ESMTP') })).error.code).toBe('PROTOCOL');
  });

  test('with TIMEOUT where the server says nothing', async () => {
    expect((await refusalOf({ greeting: new Uint8Array(0) }, { timeoutMs: 50 })).error.code).toBe('TIMEOUT');
  });

  test('with TIMEOUT where the server stops in mid-reply', async () => {
    expect((await refusalOf(onGo(go(NBD_REP_ACK).subarray(0, 10)), { timeoutMs: 50 })).error.code).toBe('TIMEOUT');
  });
});

const hostile: Record<string, Uint8Array> = {
  'no size': go(NBD_REP_ACK),
  'a size of 2^53': Buffer.concat([go(NBD_REP_INFO, exportInfo('0020000000000000')), go(NBD_REP_ACK)]),
  'a size of 2^63': Buffer.concat([go(NBD_REP_INFO, exportInfo('8000000000000000')), go(NBD_REP_ACK)]),
  'another option': encodeOptionReply(NBD_OPT_ABORT, NBD_REP_ACK),
  'an unexpected reply': go(NBD_REP_META_CONTEXT, encodeMetaContext({ id: 1, name: 'x:y' })),
  'an acknowledgement with data': go(NBD_REP_ACK, Uint8Array.of(1)),
  'four gigabytes': Buffer.from('0003e889045565a90000000700000003ffffffff', 'hex'),
  'a message of more than 4096 bytes': go(NBD_REP_ERR_UNKNOWN, new Uint8Array(4097)),
  'a block size of 0': Buffer.concat([
    go(NBD_REP_INFO, Buffer.from('0003000000000000000000000000', 'hex')),
    go(NBD_REP_ACK),
  ]),
  'no magic number': new Uint8Array(64),
  'replies without an end': Buffer.concat(
    Array.from({ length: 300 }, () => go(NBD_REP_INFO, Uint8Array.of(0x12, 0x34))),
  ),
  'a flood': new Uint8Array(4 * 1024 * 1024),
};

describe('NBD_OPT_GO answered with', () => {
  test.each(Object.entries(hostile))('%s is refused with PROTOCOL, and nothing stays open', async (_, bytes) => {
    expect((await refusalOf(onGo(bytes))).error.code).toBe('PROTOCOL');
  });
});

test.each([
  ['the same id', [1, 'x:1', 1, 'x:2'] as const],
  ['the same name', [1, 'x:1', 2, 'x:1'] as const],
])('two contexts of %s are refused', async (_, [id1, name1, id2, name2]) => {
  const reply = (id: number, name: string) =>
    encodeOptionReply(NBD_OPT_SET_META_CONTEXT, NBD_REP_META_CONTEXT, encodeMetaContext({ id, name }));
  const bytes = Buffer.concat([
    reply(id1, name1),
    reply(id2, name2),
    encodeOptionReply(NBD_OPT_SET_META_CONTEXT, NBD_REP_ACK),
  ]);
  const onOption = (option: number) => (option === NBD_OPT_SET_META_CONTEXT ? bytes : undefined);
  expect((await refusalOf({ onOption }, { metaContexts: ['x:1', 'x:2'] })).error.code).toBe('PROTOCOL');
});

describe('an aborted connect', () => {
  test('rejects with the reason before it begins', async () => {
    const signal = AbortSignal.abort('enough');
    await expect(NbdClient.connect({ path: '/nonexistent' }, { signal })).rejects.toBe('enough');
  });

  test('rejects with the reason during the handshake, and closes the connection', async () => {
    await using server = await ScriptedServer.start({ greeting: new Uint8Array(0) });
    const abort = new AbortController();
    const connecting = NbdClient.connect({ path: server.path }, { signal: abort.signal });
    const outcome = expect(connecting).rejects.toBe('enough');
    await waitFor(() => server.connections === 1, { what: 'the connection', intervalMs: 5 });
    abort.abort('enough');
    await outcome;
    await waitFor(() => server.open === 0, { what: 'the end of the connection', intervalMs: 5 });
  });
});

test('bytes after the handshake that answer nothing end the connection', async () => {
  const info = go(NBD_REP_INFO, encodeInfo({ kind: NBD_INFO_EXPORT, size: 4096, flags: 1 }));
  await using server = await ScriptedServer.start(
    onGo(Buffer.concat([info, go(NBD_REP_ACK), repliesTo({ cookie: 1n }).simple()])),
  );
  const client = await NbdClient.connect({ path: server.path });
  expect(await errorOf(client.read(0, new Uint8Array(1)))).toMatchObject({ code: 'PROTOCOL' });
});
