import {
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_CACHE,
  NBD_CMD_FLAG_DF,
  NBD_CMD_FLAG_FAST_ZERO,
  NBD_CMD_FLAG_PAYLOAD_LEN,
  NBD_CMD_FLAG_REQ_ONE,
  NBD_CMD_READ,
  NBD_CMD_WRITE,
  NBD_FLAG_HAS_FLAGS,
  NBD_FLAG_SEND_CACHE,
  NBD_FLAG_SEND_DF,
  NBD_FLAG_SEND_FAST_ZERO,
  NBD_FLAG_SEND_TRIM,
  NBD_FLAG_SEND_WRITE_ZEROES,
  type Request,
} from '@virtnbd/nbd-protocol';
import { requires, startNbdkit, withSeed } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { NbdClient } from '../src/index.ts';
import { collect, errorOf } from './expect-error.ts';
import { pattern } from './pattern.ts';
import { repliesTo } from './replies.ts';
import { type Script, ScriptedServer } from './scripted-server.ts';

const needed = requires('nbdkit');
const MIB = 1024 * 1024;
const ALL =
  NBD_FLAG_HAS_FLAGS |
  NBD_FLAG_SEND_CACHE |
  NBD_FLAG_SEND_DF |
  NBD_FLAG_SEND_TRIM |
  NBD_FLAG_SEND_WRITE_ZEROES |
  NBD_FLAG_SEND_FAST_ZERO;

/** Answers everything with success, and reads with nines. */
function obliging(script: Script = {}): Promise<ScriptedServer> {
  const options = { extended: script.extended === true };
  return ScriptedServer.start({
    flags: ALL,
    onRequest: (request, socket) => {
      const reply = repliesTo(request, options);
      const nines = () => new Uint8Array(request.length).fill(9);
      socket.write(request.command === NBD_CMD_READ ? reply.data(request.offset, nines(), true) : reply.done());
    },
    ...script,
  });
}

const ofCommand = (server: ScriptedServer, command: number): Request[] =>
  server.requests.filter((request) => request.command === command);

describe('cache', () => {
  test('is cut to the maximum of the server', async () => {
    await using server = await obliging({ size: 80 * MIB });
    await using client = await NbdClient.connect({ path: server.path });
    await client.cache(0, client.size);
    const lengths = ofCommand(server, NBD_CMD_CACHE).map(({ length }) => length);
    expect(lengths).toEqual([32 * MIB, 32 * MIB, 16 * MIB]);
  });

  test('is refused where the server does not offer it', async () => {
    await using server = await obliging({ flags: NBD_FLAG_HAS_FLAGS });
    await using client = await NbdClient.connect({ path: server.path });
    expect(client.canCache).toBe(false);
    expect(await errorOf(client.cache(0, 512))).toMatchObject({ code: 'UNSUPPORTED' });
  });

  test.skipIf(needed.skip)('is taken by nbdkit', async () => {
    await using server = await startNbdkit(['--filter=cache', 'pattern', '1M', 'cache-on-read=true']);
    await using client = await NbdClient.connect({ path: server.socket });
    expect(client.canCache).toBe(true);
    await client.cache(0, client.size);
  });
});

describe('fast zeroes', () => {
  test('are asked for by their flag', async () => {
    await using server = await obliging();
    await using client = await NbdClient.connect({ path: server.path });
    await client.writeZeroes(0, 4096, { fastZero: true });
    expect(server.requests[0]?.flags).toBe(NBD_CMD_FLAG_FAST_ZERO);
  });

  test('are refused where the server cannot tell fast from slow', async () => {
    await using server = await obliging({ flags: NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_WRITE_ZEROES });
    await using client = await NbdClient.connect({ path: server.path });
    expect(await errorOf(client.writeZeroes(0, 4096, { fastZero: true }))).toMatchObject({ code: 'UNSUPPORTED' });
  });

  test.skipIf(needed.skip).each([
    ['fails with ENOTSUP where nbdkit would be slow', 'slow', true],
    ['succeeds where nbdkit is fast', 'none', false],
  ])('a request %s', async (_, mode, fails) => {
    const filters = mode === 'slow' ? ['--filter=nozero', 'zeromode=emulate', 'fastzeromode=slow'] : [];
    await using server = await startNbdkit([...filters.slice(0, 1), 'memory', '1M', ...filters.slice(1)]);
    await using client = await NbdClient.connect({ path: server.socket });
    expect(client.canFastZero).toBe(true);
    const zeroing = client.writeZeroes(0, 65_536, { fastZero: true });
    if (fails) expect(await errorOf(zeroing)).toMatchObject({ code: 'REQUEST', errno: 'ENOTSUP' });
    else await zeroing;
  });
});

describe('a read in one piece', () => {
  test('is one request with NBD_CMD_FLAG_DF, however long', async () => {
    await using server = await obliging({ size: 8 * MIB });
    await using client = await NbdClient.connect({ path: server.path });
    const buffer = new Uint8Array(8 * MIB);
    await client.read(0, buffer, { dontFragment: true });
    expect(server.requests).toMatchObject([{ flags: NBD_CMD_FLAG_DF, length: 8 * MIB }]);
    expect(buffer.every((byte) => byte === 9)).toBe(true);
  });

  test('that comes in two ends the connection', async () => {
    await using server = await obliging({
      onRequest: (request, socket) => {
        const reply = repliesTo(request);
        socket.write(Buffer.concat([reply.data(0, new Uint8Array(256)), reply.hole(256, 256, true)]));
      },
    });
    await using client = await NbdClient.connect({ path: server.path });
    expect(await errorOf(client.read(0, new Uint8Array(512), { dontFragment: true }))).toMatchObject({
      code: 'PROTOCOL',
    });
  });

  test('longer than the maximum, not aligned, or not offered, is refused before it is sent', async () => {
    const blockSize = { minimum: 512, preferred: 4096, maximum: 65_536 };
    await using server = await obliging({ blockSize });
    await using client = await NbdClient.connect({ path: server.path });
    const read = (offset: number, length: number) =>
      errorOf(client.read(offset, new Uint8Array(length), { dontFragment: true }));
    expect(await read(0, 131_072)).toMatchObject({ code: 'USAGE' });
    expect(await read(1, 512)).toMatchObject({ code: 'USAGE' });
    await using plain = await obliging({ flags: NBD_FLAG_HAS_FLAGS });
    await using other = await NbdClient.connect({ path: plain.path });
    expect(await errorOf(other.read(0, new Uint8Array(1), { dontFragment: true }))).toMatchObject({
      code: 'UNSUPPORTED',
    });
    expect(server.requests).toEqual([]);
  });
});

describe.skipIf(needed.skip)('a read into several buffers', () => {
  test.each([[[]], [['--filter=blocksize-policy', 'blocksize-minimum=4096', 'blocksize-error-policy=error']]])(
    'fills one after the other, empty ones too %s',
    async (policy) => {
      await using server = await startNbdkit([...policy.slice(0, 1), 'pattern', '6M', ...policy.slice(1)]);
      await using client = await NbdClient.connect({ path: server.socket });
      await withSeed(async (random) => {
        for (let round = 0; round < 20; round++) {
          const lengths = Array.from({ length: random.integer(0, 9) }, () => random.pick([0, 1, 7, 4096, 300_001]));
          const buffers = lengths.map((length) => new Uint8Array(length));
          const total = lengths.reduce((sum, length) => sum + length, 0);
          const offset = random.integer(0, client.size - total);
          await client.readInto(offset, buffers);
          expect(Buffer.compare(Buffer.concat(buffers), pattern(offset, total))).toBe(0);
        }
      });
    },
  );
});

describe('one extent at a time', () => {
  test('is asked for by NBD_CMD_FLAG_REQ_ONE and walks the same disk', async () => {
    await using server = await obliging({
      contexts: ['base:allocation'],
      onRequest: (request, socket) => {
        const length = Math.min(request.length, 65_536 - (request.offset % 65_536));
        socket.write(repliesTo(request).status(1, [length, (request.offset / 65_536) % 2], true));
      },
    });
    await using client = await NbdClient.connect({ path: server.path }, { metaContexts: ['base:allocation'] });
    expect((await collect(client.extents({ requestOne: true }))).length).toBe(16);
    expect(ofCommand(server, NBD_CMD_BLOCK_STATUS).every(({ flags }) => flags === NBD_CMD_FLAG_REQ_ONE)).toBe(true);
  });

  test.each([
    ['two extents', [512, 0, 512, 1]],
    ['an extent past the request', [2 * MIB, 0]],
  ])('answered with %s ends the connection', async (_, extents) => {
    await using server = await obliging({
      contexts: ['base:allocation'],
      onRequest: (request, socket) => socket.write(repliesTo(request).status(1, extents, true)),
    });
    await using client = await NbdClient.connect({ path: server.path }, { metaContexts: ['base:allocation'] });
    expect(await errorOf(collect(client.extents({ requestOne: true })))).toMatchObject({ code: 'PROTOCOL' });
  });

  test.skipIf(needed.skip)('is kept to by nbdkit', async () => {
    await using server = await startNbdkit(['sparse-random', 'size=8M', 'percent=10', 'runlength=65536', 'seed=7']);
    await using client = await NbdClient.connect({ path: server.socket }, { metaContexts: ['base:allocation'] });
    expect(await collect(client.extents({ requestOne: true }))).toEqual(await collect(client.extents()));
  });
});

describe('extended headers', () => {
  const wide = (script: Script = {}) =>
    obliging({ extended: true, size: 16 * 2 ** 40, contexts: ['x:a', 'x:b'], ...script });

  test('are not asked for where they are not wanted', async () => {
    await using server = await wide();
    await using client = await NbdClient.connect({ path: server.path }, { extendedHeaders: false });
    expect(client.extendedHeaders).toBe(false);
    expect(server.options).not.toContain(11);
  });

  test('let zeroes, trim and block status be of any length', async () => {
    await using server = await wide({
      onRequest: (request, socket) => {
        const reply = repliesTo(request, { extended: true });
        const status = [reply.status(2, [request.length, 2]), reply.status(1, [2 ** 40, 1, 2 ** 45, 3], true)];
        socket.write(request.command === NBD_CMD_BLOCK_STATUS ? Buffer.concat(status) : reply.done());
      },
    });
    await using client = await NbdClient.connect({ path: server.path }, { metaContexts: ['x:a', 'x:b'] });
    expect(client.extendedHeaders).toBe(true);
    await client.writeZeroes(0, client.size);
    await client.trim(4096, client.size - 4096);
    expect(await collect(client.extents())).toEqual([
      { start: 0, length: 2 ** 40, flags: [1, 2] },
      { start: 2 ** 40, length: 15 * 2 ** 40, flags: [3, 2] },
    ]);
    expect(server.requests.map(({ length }) => length)).toEqual([client.size, client.size - 4096, client.size]);
  });

  test('announce the payload of a write, and bring reads as before', async () => {
    const written: Buffer[] = [];
    await using server = await wide({
      onRequest: (request, socket, data) => {
        const reply = repliesTo(request, { extended: true });
        if (request.command === NBD_CMD_WRITE) written.push(Buffer.from(data));
        const hole = () => reply.hole(request.offset, request.length, true);
        socket.write(request.command === NBD_CMD_READ ? hole() : reply.done());
      },
    });
    await using client = await NbdClient.connect({ path: server.path });
    const data = new Uint8Array(MIB + 512).fill(5);
    await client.write(4096, data);
    expect(Buffer.compare(Buffer.concat(written), data)).toBe(0);
    expect(server.requests.every(({ flags }) => flags === NBD_CMD_FLAG_PAYLOAD_LEN)).toBe(true);
    const buffer = new Uint8Array(MIB).fill(1);
    await client.read(2 ** 43, buffer);
    expect(buffer.every((byte) => byte === 0)).toBe(true);
  });

  test.each<[string, (request: Request) => Uint8Array]>([
    ['a simple error', (r) => repliesTo(r).simple(5)],
    ['a structured chunk', (r) => repliesTo(r).hole(r.offset, r.length, true)],
    ['another offset', (r) => repliesTo({ ...r, offset: 1 }, { extended: true }).hole(r.offset, r.length, true)],
  ])('end the connection at %s', async (_, answer) => {
    await using server = await wide({ onRequest: (request, socket) => socket.write(answer(request)) });
    await using client = await NbdClient.connect({ path: server.path });
    expect(await errorOf(client.read(4096, new Uint8Array(512)))).toMatchObject({ code: 'PROTOCOL' });
  });

  test('end the connection at block status of the compact kind', async () => {
    await using server = await wide({
      onRequest: (request, socket) => {
        const payload = Buffer.from('00000001000002000000000000', 'hex').subarray(0, 12);
        socket.write(repliesTo(request, { extended: true }).chunk(5, payload, true));
      },
    });
    await using client = await NbdClient.connect({ path: server.path }, { metaContexts: ['x:a'] });
    expect(await errorOf(collect(client.extents()))).toMatchObject({ code: 'PROTOCOL' });
  });

  test('that were not agreed on end the connection', async () => {
    await using server = await obliging({
      onRequest: (request, socket) =>
        socket.write(repliesTo(request, { extended: true }).hole(request.offset, request.length, true)),
    });
    await using client = await NbdClient.connect({ path: server.path });
    expect(await errorOf(client.read(0, new Uint8Array(512)))).toMatchObject({ code: 'PROTOCOL' });
  });
});
