// One test for each published weakness of libnbd and nbdkit that a client can have, under its name.
import {
  encodeGreeting,
  encodeInfo,
  encodeOptionReply,
  NBD_INFO_EXPORT,
  NBD_OPT_EXPORT_NAME,
  NBD_OPT_GO,
  NBD_OPT_STARTTLS,
  NBD_OPT_STRUCTURED_REPLY,
  NBD_REP_ACK,
  NBD_REP_ERR_UNKNOWN,
  NBD_REP_ERR_UNSUP,
  NBD_REP_INFO,
} from '@virtnbd/nbd-protocol';
import { type Certificates, makeCertificates, PSK, requires, SERVER_NAME, startNbdkit } from '@virtnbd/test-kit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ConnectOptions, NbdClient } from '../src/index.ts';
import { collect, errorOf } from './expect-error.ts';
import { repliesTo } from './replies.ts';
import { type Script, ScriptedServer } from './scripted-server.ts';

const needed = requires('nbdkit', 'certtool');
const TLS = { tls: { psk: PSK } };

async function refusalOf(script: Script, options: ConnectOptions) {
  await using server = await ScriptedServer.start(script);
  const error = await errorOf(NbdClient.connect({ path: server.path }, options));
  return { code: error.code, options: server.options };
}

/** Answers NBD_OPT_STARTTLS with these bytes. */
const onStartTls = (bytes: Uint8Array): Script => ({
  onOption: (option) => (option === NBD_OPT_STARTTLS ? bytes : undefined),
});
const ack = encodeOptionReply(NBD_OPT_STARTTLS, NBD_REP_ACK);

describe('CVE-2019-14842, libnbd: a server, or somebody on the way, talks a client out of the TLS that it demands', () => {
  const oldstyle = Buffer.concat([Buffer.from('NBDMAGIC'), Buffer.from('0000420281861253', 'hex'), Buffer.alloc(136)]);
  test.each<[string, Script]>([
    ['by speaking oldstyle', { greeting: oldstyle }],
    ['by not speaking fixed newstyle', { greeting: encodeGreeting(0) }],
    ['by not knowing the option', onStartTls(encodeOptionReply(NBD_OPT_STARTTLS, NBD_REP_ERR_UNSUP))],
    ['by answering another option', onStartTls(encodeOptionReply(NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK))],
    ['by agreeing, and going on in plain text', onStartTls(ack)],
  ])('%s', async (_, script) => {
    const { code, options } = await refusalOf(script, TLS);
    expect(['TLS', 'HANDSHAKE', 'PROTOCOL']).toContain(code);
    // Nothing but the wish for TLS was ever said in plain text: neither the export's name nor another option.
    expect(options.filter((option) => option !== NBD_OPT_STARTTLS && option !== 2)).toEqual([]);
  });

  test('an nbds URI never ends in a plain connection', async () => {
    await using server = await ScriptedServer.start();
    const uri = `nbds+unix:///?socket=${encodeURIComponent(server.path)}&tls-hostname=${SERVER_NAME}`;
    expect(await errorOf(NbdClient.connectUri(uri))).toMatchObject({ code: 'TLS', reply: 'NBD_REP_ERR_UNSUP' });
  });
});

describe('CVE-2021-3716, nbdkit: plain text that was put before the TLS handshake is taken for what came under it', () => {
  test('bytes behind the agreement to TLS end the connection', async () => {
    const injected = Buffer.concat([ack, encodeOptionReply(NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK)]);
    expect((await refusalOf(onStartTls(injected), TLS)).code).toBe('PROTOCOL');
  });
});

test('libnbd, October 2019 (remote code execution): a structured reply outside the request is not written anywhere', async () => {
  await using server = await ScriptedServer.start({
    onRequest: (request, socket) =>
      socket.write(repliesTo(request).data(request.offset + 2 ** 32, new Uint8Array(request.length).fill(1), true)),
  });
  await using client = await NbdClient.connect({ path: server.path });
  const memory = new Uint8Array(8192);
  const reading = client.read(4096, memory.subarray(2048, 4096));
  expect(await errorOf(reading)).toMatchObject({ code: 'PROTOCOL' });
  expect(memory.every((byte) => byte === 0)).toBe(true);
});

test('CVE-2021-20286, libnbd: a server that hangs up between options makes an error, not a crash', async () => {
  const script: Script = {
    onOption: (option) => (option === NBD_OPT_GO ? encodeOptionReply(option, NBD_REP_ERR_UNKNOWN) : undefined),
    hangUpAfter: NBD_OPT_GO,
  };
  expect((await refusalOf(script, {})).code).toBe('HANDSHAKE');
  expect((await refusalOf({ hangUpAfter: NBD_OPT_STRUCTURED_REPLY }, {})).code).toBe('HANDSHAKE');
});

describe.skipIf(needed.skip)('CVE-2022-0485, libnbd: errors in mid-copy are ignored', () => {
  test('a read of which one part fails rejects, wherever that part is', async () => {
    for (const bad of [0, 1, 5, 15]) {
      await using server = await ScriptedServer.start({
        size: 8 * 1024 * 1024,
        onRequest: (request, socket) => {
          const reply = repliesTo(request);
          const failing = request.offset === bad * 512 * 1024;
          socket.write(failing ? reply.error(5, '') : reply.hole(request.offset, request.length, true));
        },
      });
      await using client = await NbdClient.connect({ path: server.path });
      const error = await errorOf(client.read(0, new Uint8Array(client.size)));
      expect(error).toMatchObject({ code: 'REQUEST', errno: 'EIO', offset: bad * 512 * 1024 });
    }
  });

  test('data that came before an error chunk does not make the read a success', async () => {
    await using server = await ScriptedServer.start({
      onRequest: (request, socket) => {
        const reply = repliesTo(request);
        const data = reply.data(request.offset, new Uint8Array(request.length));
        socket.write(Buffer.concat([data, reply.error(5, 'and yet', undefined, false), reply.done()]));
      },
    });
    await using client = await NbdClient.connect({ path: server.path });
    expect(await errorOf(client.read(0, new Uint8Array(512)))).toMatchObject({ code: 'REQUEST', errno: 'EIO' });
  });

  test('a copy of an nbdkit disk that fails everywhere fails everywhere', async () => {
    await using server = await startNbdkit(['--filter=error', 'memory', '8M', 'error-pread-rate=100%']);
    await using client = await NbdClient.connect({ path: server.socket }, { connections: 4 });
    const error = await errorOf(client.read(0, new Uint8Array(client.size)));
    expect(error).toMatchObject({ code: 'REQUEST', errno: 'EIO' });
  });
});

describe('libnbd, July 2023 (block status): a server ends the client by extents that cannot be', () => {
  test.each([
    [
      'of no bytes',
      (r: ReturnType<typeof repliesTo>) => r.chunk(5, Buffer.from('000000010000000000000001', 'hex'), true),
    ],
    ['none at all', (r: ReturnType<typeof repliesTo>) => r.done()],
    ['in a payload that is too short', (r: ReturnType<typeof repliesTo>) => r.chunk(5, Buffer.alloc(8), true)],
  ])('%s', async (_, answer) => {
    await using server = await ScriptedServer.start({
      contexts: ['base:allocation'],
      onRequest: (request, socket) => socket.write(answer(repliesTo(request))),
    });
    await using client = await NbdClient.connect({ path: server.path }, { metaContexts: ['base:allocation'] });
    expect(await errorOf(collect(client.extents()))).toMatchObject({ code: 'PROTOCOL' });
  });
});

describe('CVE-2023-5215, libnbd: a size of 2^63 and more becomes a negative number', () => {
  const sizes = ['8000000000000000', 'ffffffffffffffff', '0020000000000000'];

  test.each(sizes)('0x%s by NBD_OPT_GO is refused', async (size) => {
    const info = encodeOptionReply(NBD_OPT_GO, NBD_REP_INFO, Buffer.from(`0000${size}0001`, 'hex'));
    const bytes = Buffer.concat([info, encodeOptionReply(NBD_OPT_GO, NBD_REP_ACK)]);
    const onOption = (option: number) => (option === NBD_OPT_GO ? bytes : undefined);
    expect((await refusalOf({ onOption }, {})).code).toBe('PROTOCOL');
  });

  test.each(sizes)('0x%s by NBD_OPT_EXPORT_NAME is refused', async (size) => {
    const onOption = (option: number) => {
      if (option === NBD_OPT_GO) return encodeOptionReply(option, NBD_REP_ERR_UNSUP);
      return option === NBD_OPT_EXPORT_NAME ? Buffer.from(`${size}0001`, 'hex') : undefined;
    };
    expect((await refusalOf({ onOption }, {})).code).toBe('PROTOCOL');
  });
});

describe('CVE-2023-5871, libnbd: status flags of 64 bits', () => {
  const open = async (context: string, extents: readonly bigint[]) => {
    const payload = Buffer.alloc(8 + 8 * extents.length);
    payload.writeUInt32BE(1, 0);
    payload.writeUInt32BE(extents.length / 2, 4);
    for (const [i, value] of extents.entries()) payload.writeBigUInt64BE(value, 8 + 8 * i);
    const server = await ScriptedServer.start({
      extended: true,
      contexts: [context],
      onRequest: (request, socket) => socket.write(repliesTo(request, { extended: true }).chunk(6, payload, true)),
    });
    return { server, client: await NbdClient.connect({ path: server.path }, { metaContexts: [context] }) };
  };

  test.each([
    ['base:allocation with more than 32 bits', 'base:allocation', [1048576n, 2n ** 32n]],
    ['any context with more than 53 bits', 'x:wide', [1048576n, 2n ** 63n]],
    ['a length past 2^53', 'x:wide', [2n ** 63n, 0n]],
  ])('%s is refused, and ends the connection only', async (_, context, extents) => {
    const { server, client } = await open(context, extents);
    await using _server = server;
    expect(await errorOf(collect(client.extents()))).toMatchObject({ code: 'PROTOCOL' });
  });

  test('up to 53 bits come exact', async () => {
    const { server, client } = await open('x:wide', [1048576n, 2n ** 52n + 1n]);
    await using _server = server;
    await using _client = client;
    expect(await collect(client.extents())).toEqual([{ start: 0, length: 1048576, flags: [2 ** 52 + 1] }]);
  });
});

describe.skipIf(needed.skip)('CVE-2024-7383, libnbd: the certificate of the server is not verified', () => {
  let certificates: Certificates;
  const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  beforeAll(async () => {
    certificates = await makeCertificates();
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
  });
  afterAll(async () => {
    if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before;
    await certificates[Symbol.asyncDispose]();
  });
  const identity = async () => ({
    key: await certificates.pem('server-key.pem'),
    cert: await certificates.pem('server-cert.pem'),
  });

  test('no setting of node switches the check off', async () => {
    const script = { tls: await identity() };
    expect((await refusalOf(script, { tls: { hostname: SERVER_NAME } })).code).toBe('TLS');
    const ca = await certificates.pem('ca-cert.pem');
    expect((await refusalOf(script, { tls: { ca, hostname: 'other.example.org' } })).code).toBe('TLS');
    await using server = await ScriptedServer.start(script);
    await using client = await NbdClient.connect({ path: server.path }, { tls: { ca, hostname: SERVER_NAME } });
    expect(client.size).toBe(1024 * 1024);
  });

  test('an address without a host needs the name to be told', async () => {
    expect((await refusalOf({ tls: await identity() }, { tls: true })).code).toBe('USAGE');
  });

  test('TLS 1.1 and older are refused', async () => {
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
    const ca = await certificates.pem('ca-cert.pem');
    const script = { tls: { ...(await identity()), ...old } };
    expect((await refusalOf(script, { tls: { ca, hostname: SERVER_NAME } })).code).toBe('TLS');
  });
});

test('CVE-2025-14946, libnbd: a URI that runs a program with arguments from its host is no URI here', async () => {
  for (const uri of ['nbd+ssh://-oProxyCommand=id/x', 'nbds+ssh://h/x', 'nbd+vsock://2/x']) {
    expect(await errorOf(NbdClient.connectUri(uri))).toMatchObject({ code: 'USAGE' });
  }
});

test('a reply by NBD_OPT_GO that names two sizes leaves the last, as the specification allows, and never a mixture', async () => {
  const info = (size: number) => encodeInfo({ kind: NBD_INFO_EXPORT, size, flags: 1 });
  const bytes = Buffer.concat([
    encodeOptionReply(NBD_OPT_GO, NBD_REP_INFO, info(4096)),
    encodeOptionReply(NBD_OPT_GO, NBD_REP_INFO, info(8192)),
    encodeOptionReply(NBD_OPT_GO, NBD_REP_ACK),
  ]);
  await using server = await ScriptedServer.start({
    onOption: (option) => (option === NBD_OPT_GO ? bytes : undefined),
  });
  await using client = await NbdClient.connect({ path: server.path });
  expect(client.size).toBe(8192);
});
