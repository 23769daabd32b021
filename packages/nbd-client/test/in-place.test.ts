import { NBD_CMD_READ, type Request } from '@virtnbd/nbd-protocol';
import { type Random, withSeed } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { NbdClient } from '../src/index.ts';
import { errorOf } from './expect-error.ts';
import { pattern } from './pattern.ts';
import { repliesTo } from './replies.ts';
import { ScriptedServer } from './scripted-server.ts';

const SIZE = 8 << 20;
const GUARD = 1000;
const BEFORE = 0xee;

/** Buffers for a read in one piece of memory, with bytes around each that no read may touch. */
function guarded(lengths: readonly number[]) {
  const memory = new Uint8Array(lengths.reduce((sum, length) => sum + length + GUARD, GUARD)).fill(BEFORE);
  const buffers: Uint8Array[] = [];
  let at = GUARD;
  for (const length of lengths) {
    buffers.push(memory.subarray(at, at + length));
    at += length + GUARD;
  }
  const guards = () => {
    let from = 0;
    return lengths.concat(0).every((length) => {
      const guard = memory.subarray(from, from + GUARD);
      from += GUARD + length;
      return guard.every((byte) => byte === BEFORE);
    });
  };
  return { buffers, guards };
}

/** The reply in chunks of any length and order, some of them holes where `hole` says so. */
function inChunks(request: Request, random: Random, hole: (at: number) => boolean): Buffer {
  const { offset, length } = request;
  const chunks: Buffer[] = [];
  for (let at = offset; at < offset + length; ) {
    const part = Math.min(offset + length - at, random.integer(1, 200_000), 65_536 - (at % 65_536));
    const reply = repliesTo(request);
    chunks.push(hole(at) ? reply.hole(at, part) : reply.data(at, pattern(at, part)));
    at += part;
  }
  const mixed = chunks.map((chunk) => ({ chunk, key: random.integer(0, 1 << 30) })).sort((a, b) => a.key - b.key);
  return Buffer.concat([...mixed.map(({ chunk }) => chunk), repliesTo(request).done()]);
}

function server(onRead: (request: Request) => Uint8Array): Promise<ScriptedServer> {
  return ScriptedServer.start({
    size: SIZE,
    onRequest: (request, socket) => {
      if (request.command === NBD_CMD_READ) socket.write(onRead(request));
    },
  });
}

describe('reads in place', () => {
  test('chunks in any order, holes, and buffers cut anywhere: what is read is what was sent, and nothing beside it', async () => {
    await withSeed(async (random) => {
      const hole = (at: number): boolean => Math.floor(at / 65_536) % 5 === 0;
      await using scripted = await server((request) => inChunks(request, random, hole));
      await using client = await NbdClient.connect({ path: scripted.path });
      const reads = Array.from({ length: 40 }, async () => {
        const { offset, length } = random.range(SIZE, { longest: 1_500_000 });
        const cuts = [random.integer(0, length), random.integer(0, length)].sort((a, b) => a - b);
        const [first = 0, second = 0] = cuts;
        const { buffers, guards } = guarded([first, second - first, length - second]);
        await client.readInto(offset, buffers, { inPlace: random.boolean(0.8) });
        const wanted = pattern(offset, length);
        for (let at = 0; at < length; at++) if (hole(offset + at)) wanted[at] = 0;
        expect(Buffer.compare(Buffer.concat(buffers), wanted)).toBe(0);
        expect(guards()).toBe(true);
      });
      await Promise.all(reads);
    });
  });

  test('a chunk that goes past the end of the request is refused, and nothing beside the buffer is touched', async () => {
    await using scripted = await server((request) =>
      repliesTo(request).data(request.offset + request.length - 50_000, pattern(0, 50_001), true),
    );
    await using client = await NbdClient.connect({ path: scripted.path });
    const { buffers, guards } = guarded([100_000]);
    expect(await errorOf(client.readInto(0, buffers, { inPlace: true }))).toMatchObject({ code: 'PROTOCOL' });
    expect(guards()).toBe(true);
  });

  test('one that is aborted in mid-payload rejects at once; once the client is destroyed its buffer stays as it is', async () => {
    const sockets: { end(bytes: Uint8Array): void }[] = [];
    let sent = (): void => undefined;
    const half = new Promise<void>((resolve) => {
      sent = resolve;
    });
    await using scripted = await ScriptedServer.start({
      size: SIZE,
      onRequest: (request, socket) => {
        sockets.push(socket);
        const reply = repliesTo(request).data(request.offset, new Uint8Array(request.length).fill(1), true);
        socket.write(reply.subarray(0, 50_000), sent);
      },
    });
    await using client = await NbdClient.connect({ path: scripted.path });
    const abort = new AbortController();
    const buffer = new Uint8Array(100_000).fill(BEFORE);
    const outcome = expect(client.read(0, buffer, { inPlace: true, signal: abort.signal })).rejects.toBe('enough');
    await half;
    abort.abort('enough');
    await outcome;
    client.destroy();
    const then = Uint8Array.from(buffer);
    for (const socket of sockets) socket.end(new Uint8Array(50_028).fill(2));
    await new Promise((resolve) => setImmediate(resolve));
    expect(Buffer.compare(buffer, then)).toBe(0);
  });
});
