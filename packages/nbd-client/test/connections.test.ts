import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Duplex, PassThrough } from 'node:stream';
import { NBD_FLAG_CAN_MULTI_CONN, NBD_FLAG_HAS_FLAGS } from '@virtnbd/nbd-protocol';
import { requires, startNbdkit, startQemuNbd, tempFolder, waitFor, withSeed } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { NbdClient } from '../src/index.ts';
import { errorOf } from './expect-error.ts';
import { pattern } from './pattern.ts';
import { startRelay } from './relay.ts';
import { repliesTo } from './replies.ts';
import { ScriptedServer } from './scripted-server.ts';

const needed = requires('nbdkit', 'qemu-nbd');
const MIB = 1024 * 1024;

describe.skipIf(needed.skip)('several connections', () => {
  test('share long reads and writes, and give the right bytes', async () => {
    await using server = await startNbdkit(['memory', '32M']);
    await using client = await NbdClient.connect({ path: server.socket }, { connections: 4 });
    expect(client.connections).toBe(4);
    const data = Buffer.from(pattern(0, client.size));
    await client.write(0, data);
    await client.flush();
    await withSeed(async (random) => {
      const reads = Array.from({ length: 40 }, async () => {
        const { offset, length } = random.range(client.size, { alignment: 1, longest: 9 * MIB });
        const buffers = [new Uint8Array(Math.floor(length / 3)), new Uint8Array(length - Math.floor(length / 3))];
        await client.readInto(offset, buffers);
        expect(Buffer.compare(Buffer.concat(buffers), pattern(offset, length))).toBe(0);
      });
      await Promise.all(reads);
    });
  });

  test('go on with those that are left when one is lost, and fail when all are', async () => {
    await using server = await startNbdkit(['pattern', '8M']);
    await using stable = await startRelay(server.socket);
    const client = await NbdClient.connect({ host: '127.0.0.1', port: stable.port }, { connections: 3 });
    expect(stable.connections).toBe(3);
    stable.dropOne();
    await waitFor(() => stable.open === 2, { what: 'the end of a connection', intervalMs: 5 });
    await waitFor(
      async () => {
        const buffer = new Uint8Array(client.size);
        const done = await client.read(0, buffer).then(
          () => true,
          () => false,
        );
        return done && Buffer.compare(buffer, pattern(0, client.size)) === 0;
      },
      { what: 'a read over what is left', intervalMs: 10 },
    );
    stable.drop();
    await waitFor(() => stable.open === 0, { what: 'the end of all connections', intervalMs: 5 });
    expect(await errorOf(client.read(0, new Uint8Array(client.size)))).toMatchObject({ code: 'CLOSED' });
    await client.close();
  });
});

describe('one connection', () => {
  test('is all there is where the server does not keep several coherent', async () => {
    await using server = await ScriptedServer.start();
    await using client = await NbdClient.connect({ path: server.path }, { connections: 4 });
    expect(client.connections).toBe(1);
    expect(server.connections).toBe(1);
  });

  test('and no other is left open where a further one is refused or tells another size', async () => {
    let size = 4096;
    await using server = await ScriptedServer.start({
      flags: NBD_FLAG_HAS_FLAGS | NBD_FLAG_CAN_MULTI_CONN,
      onConnection: (count) => {
        if (count > 1) size = 8192;
      },
      sizeOf: () => size,
    });
    const error = await errorOf(NbdClient.connect({ path: server.path }, { connections: 3 }));
    expect(error).toMatchObject({ code: 'HANDSHAKE' });
    await waitFor(() => server.open === 0, { what: 'the end of the connections', intervalMs: 5 });
  });

  test.each([0, 17, 1.5])('a number of %d connections is refused', async (connections) => {
    expect(await errorOf(NbdClient.connect({ path: '/x' }, { connections }))).toMatchObject({ code: 'USAGE' });
  });
});

describe.skipIf(needed.skip)('a stream that is already open', () => {
  test('of a socket carries reads and writes', async () => {
    await using server = await startNbdkit(['memory', '8M']);
    const stream = connect(server.socket);
    await once(stream, 'connect');
    const client = await NbdClient.connect({ stream });
    const data = Buffer.from(pattern(0, 5 * MIB));
    await client.write(0, data);
    const back = new Uint8Array(data.byteLength);
    await client.read(0, back);
    expect(Buffer.compare(back, data)).toBe(0);
    await client.close();
    expect(stream.destroyed).toBe(true);
  });

  test('of pipes, as ssh channels are, carries them too', async () => {
    await using server = await startNbdkit(['pattern', '4M']);
    const socket = connect(server.socket);
    const [input, output] = [new PassThrough({ highWaterMark: 1000 }), new PassThrough({ highWaterMark: 1000 })];
    output.pipe(socket).pipe(input);
    const stream = Duplex.from({ readable: input, writable: output });
    const client = await NbdClient.connect({ stream });
    const buffer = new Uint8Array(client.size);
    await client.read(0, buffer);
    expect(Buffer.compare(buffer, pattern(0, client.size))).toBe(0);
    await client.close();
    socket.destroy();
  });

  test('that has ended is refused with CONNECT', async () => {
    const stream = new PassThrough();
    stream.destroy();
    expect(await errorOf(NbdClient.connect({ stream }))).toMatchObject({ code: 'CONNECT' });
  });
});

describe('reconnecting', () => {
  const reconnect = { attempts: 20, delayMs: 20 };
  const holes = async () =>
    ScriptedServer.start({
      flags: NBD_FLAG_HAS_FLAGS,
      onRequest: (request, socket) => {
        const reply = repliesTo(request);
        socket.write(request.command === 0 ? reply.hole(request.offset, request.length, true) : reply.done());
      },
    });

  test('does not happen unless it is wanted', async () => {
    await using server = await holes();
    await using client = await NbdClient.connect({ path: server.path });
    server.drop();
    expect(await errorOf(client.read(0, new Uint8Array(512)))).toMatchObject({ code: 'CLOSED' });
    expect(server.connections).toBe(1);
  });

  test.skipIf(needed.skip)('repeats the reads that were in flight, and they bring the right bytes', async () => {
    await using folder = await tempFolder();
    const image = join(folder.path, 'disk.raw');
    await writeFile(image, pattern(0, 16 * MIB));
    // Not nbdkit: version 1.32 dies of an assertion when a client goes away in mid-reply.
    await using server = await startQemuNbd(image, { format: 'raw', readOnly: true });
    await using relay = await startRelay(server.socket, { cutAfter: 5 * MIB });
    const address = { host: '127.0.0.1', port: relay.port };
    await using client = await NbdClient.connect(address, { reconnect, connections: 2 });
    const buffers = Array.from({ length: 16 }, () => new Uint8Array(MIB));
    await Promise.all(buffers.map((buffer, i) => client.read(i * MIB, buffer)));
    expect(Buffer.compare(Buffer.concat(buffers), pattern(0, 16 * MIB))).toBe(0);
    expect(relay.connections).toBeGreaterThan(2);
  });

  test('goes with the idle time-out: a silent connection is replaced', async () => {
    let silent = true;
    await using server = await ScriptedServer.start({
      onRequest: (request, socket) => {
        if (!silent) socket.write(repliesTo(request).hole(request.offset, request.length, true));
        silent = false;
      },
    });
    await using client = await NbdClient.connect({ path: server.path }, { reconnect, idleTimeoutMs: 30 });
    await client.read(0, new Uint8Array(512));
    expect(server.connections).toBe(2);
  });

  test('never follows a write: what was not flushed may be gone', async () => {
    await using server = await holes();
    await using client = await NbdClient.connect({ path: server.path }, { reconnect });
    await client.write(0, new Uint8Array(512));
    server.drop();
    expect(await errorOf(client.read(0, new Uint8Array(512)))).toMatchObject({ code: 'CLOSED' });
    expect(server.connections).toBe(1);
  });

  test('is refused to an export that has changed', async () => {
    let size = 1024 * 1024;
    await using server = await ScriptedServer.start({ sizeOf: () => size });
    await using client = await NbdClient.connect({ path: server.path }, { reconnect });
    size *= 2;
    server.drop();
    const error = await errorOf(client.read(0, new Uint8Array(512)));
    expect(error).toMatchObject({ code: 'CLOSED' });
    expect(error.message).toContain('not the same');
  });

  test('does not give a server that breaks the protocol a second chance', async () => {
    await using server = await ScriptedServer.start({ onRequest: (_, socket) => socket.write('nonsense, and more') });
    await using client = await NbdClient.connect({ path: server.path }, { reconnect });
    expect(await errorOf(client.read(0, new Uint8Array(512)))).toMatchObject({ code: 'PROTOCOL' });
    expect(server.connections).toBe(1);
  });

  test('ends after so many attempts, with an abort, and with destroy', async () => {
    const server = await holes();
    const address = { path: server.path };
    const few = await NbdClient.connect(address, { reconnect: { attempts: 2, delayMs: 5 } });
    const slow = await NbdClient.connect(address, { reconnect: { attempts: 9, delayMs: 60_000 } });
    const other = await NbdClient.connect(address, { reconnect: { attempts: 9, delayMs: 60_000 } });
    await server[Symbol.asyncDispose]();
    expect(await errorOf(few.read(0, new Uint8Array(512)))).toMatchObject({ code: 'CONNECT' });
    const signal = AbortSignal.timeout(30);
    await expect(slow.read(0, new Uint8Array(512), { signal })).rejects.toMatchObject({ name: 'TimeoutError' });
    const waiting = errorOf(other.read(0, new Uint8Array(512)));
    setTimeout(() => other.destroy(), 30);
    expect(await waiting).toMatchObject({ code: 'CLOSED' });
    await Promise.all([few.close(), slow.close(), other.close()]);
  });
});
