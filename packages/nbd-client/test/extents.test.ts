import { NBD_CMD_BLOCK_STATUS, type Request } from '@virtnbd/nbd-protocol';
import { Random, withSeed } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { type ExtentRun, NbdClient } from '../src/index.ts';
import { collect, errorOf } from './expect-error.ts';
import { repliesTo } from './replies.ts';
import { type Script, ScriptedServer } from './scripted-server.ts';

const BLOCK = 512;
const CONTEXTS = ['base:allocation', 'qemu:dirty-bitmap:b', 'x:third'];

/** One context of a disk: the flags of each block. */
type Layout = readonly number[];

function randomLayout(random: Random, blocks: number): Layout {
  const layout: number[] = [];
  while (layout.length < blocks) {
    const flags = random.integer(0, 3);
    for (let left = random.integer(1, 9); left > 0 && layout.length < blocks; left--) layout.push(flags);
  }
  return layout;
}

/**
 * A reply as a lawful but awkward server gives it: it stops at any minimum block, or goes past what was asked, and cuts
 * extents of one status into several.
 */
function awkwardReply(random: Random, layout: Layout, request: Request, minimum: number): number[] {
  const extents: number[] = [];
  const size = layout.length * BLOCK;
  const reach = request.offset + random.integer(1, request.length + (random.boolean(0.3) ? 20 * BLOCK : 0));
  const end = Math.min(Math.ceil(reach / minimum) * minimum, size);
  let previous = -1;
  for (let at = request.offset; at < end; ) {
    const border = Math.min(end, (Math.floor(at / BLOCK) + 1) * BLOCK);
    const flags = layout[Math.floor(at / BLOCK)] ?? 0;
    if (flags === previous && random.boolean(0.9)) extents[extents.length - 2] = (extents.at(-2) ?? 0) + border - at;
    else extents.push(border - at, flags);
    previous = flags;
    at = border;
  }
  return extents;
}

async function awkwardServer(random: Random, layouts: readonly Layout[], script: Script = {}) {
  const minimum = script.blockSize?.minimum ?? 1;
  return ScriptedServer.start({
    size: (layouts[0]?.length ?? 0) * BLOCK,
    contexts: CONTEXTS.slice(0, layouts.length),
    ...script,
    onRequest: (request, socket) => {
      const reply = repliesTo(request);
      const chunks = layouts.map((layout, index) =>
        reply.status(index + 1, awkwardReply(random, layout, request, minimum)),
      );
      if (random.boolean()) chunks.reverse();
      socket.write(Buffer.concat([...chunks, reply.done()]));
    },
  });
}

/** The runs that a range has, worked out block by block. */
function model(layouts: readonly Layout[], offset: number, length: number): ExtentRun[] {
  const runs: { start: number; length: number; flags: number[] }[] = [];
  for (let at = offset; at < offset + length; ) {
    const end = Math.min(offset + length, (Math.floor(at / BLOCK) + 1) * BLOCK);
    const flags = layouts.map((layout) => layout[Math.floor(at / BLOCK)] ?? 0);
    const last = runs.at(-1);
    if (last !== undefined && flags.every((flag, i) => flag === last.flags[i])) last.length += end - at;
    else runs.push({ start: at, length: end - at, flags });
    at = end;
  }
  return runs;
}

describe('extents', () => {
  test('of servers that reply short, long, unevenly and in pieces are those of a model', {
    timeout: 120_000,
  }, async () => {
    await withSeed(async (random) => {
      for (let round = 0; round < 150; round++) {
        const blocks = random.integer(1, 200);
        const layouts = Array.from({ length: random.integer(1, 3) }, () => randomLayout(random, blocks));
        await using server = await awkwardServer(random, layouts);
        const contexts = CONTEXTS.slice(0, layouts.length);
        await using client = await NbdClient.connect({ path: server.path }, { metaContexts: contexts });
        expect(await collect(client.extents())).toEqual(model(layouts, 0, client.size));

        const order = contexts.map((name, i) => ({ name, layout: layouts[i] ?? [] })).filter(() => random.boolean(0.7));
        if (random.boolean()) order.reverse();
        const offset = random.integer(0, client.size - 1);
        const length = random.integer(0, client.size - offset);
        if (order.length === 0) continue;
        const some = await collect(client.extents({ contexts: order.map(({ name }) => name), offset, length }));
        const chosen = order.map(({ layout }) => layout);
        expect(some).toEqual(model(chosen, offset, length));
      }
    });
  });

  test('of a server with a minimum block size are asked for in whole blocks and cut to the range', async () => {
    await withSeed(async (random) => {
      const layouts = [randomLayout(random, 64), randomLayout(random, 64)];
      const blockSize = { minimum: 4096, preferred: 4096, maximum: 65_536 };
      await using server = await awkwardServer(random, layouts, { blockSize });
      await using client = await NbdClient.connect({ path: server.path }, { metaContexts: CONTEXTS });
      for (let round = 0; round < 50; round++) {
        const offset = random.integer(0, client.size - 1);
        const length = random.integer(0, client.size - offset);
        expect(await collect(client.extents({ offset, length }))).toEqual(model(layouts, offset, length));
      }
      const odd = server.requests.filter((it) => it.command === NBD_CMD_BLOCK_STATUS && it.offset % 4096 !== 0);
      expect(odd).toEqual([]);
    });
  });

  test('of 16 TiB are asked for in requests that fit 32 bits, and joined across them', async () => {
    const size = 16 * 2 ** 40;
    await using server = await ScriptedServer.start({
      size,
      contexts: ['base:allocation'],
      onRequest: (request, socket) => {
        const { offset, length } = request;
        const flags = offset + length === size ? [length - 4096, 3, 4096, 0] : [length, 3];
        socket.write(repliesTo(request).status(1, flags, true));
      },
    });
    await using client = await NbdClient.connect({ path: server.path }, { metaContexts: ['base:allocation'] });
    expect(await collect(client.extents())).toEqual([
      { start: 0, length: size - 4096, flags: [3] },
      { start: size - 4096, length: 4096, flags: [0] },
    ]);
    expect(server.requests.filter((it) => it.command === NBD_CMD_BLOCK_STATUS).length).toBeLessThan(4100);
  });

  test('come in batches of at most 4096, a million of them from replies of 131072', { timeout: 120_000 }, async () => {
    const count = 1_000_000;
    await using server = await ScriptedServer.start({
      size: count * BLOCK,
      contexts: ['base:allocation'],
      onRequest: (request, socket) => {
        const blocks = Math.min(131_072, request.length / BLOCK);
        const first = request.offset / BLOCK;
        const extents = Uint32Array.from({ length: 2 * blocks }, (_, i) =>
          i % 2 === 0 ? BLOCK : (first + (i >> 1)) % 2,
        );
        socket.write(repliesTo(request).status(1, extents, true));
      },
    });
    await using client = await NbdClient.connect({ path: server.path }, { metaContexts: ['base:allocation'] });
    let runs = 0;
    let largest = 0;
    for await (const batch of client.extents()) {
      largest = Math.max(largest, batch.length);
      for (const run of batch) {
        if (run.start !== runs * BLOCK || run.length !== BLOCK || run.flags[0] !== runs % 2)
          throw new Error(`run ${runs}`);
        runs++;
      }
    }
    expect(runs).toBe(count);
    expect(largest).toBeLessThanOrEqual(4096);
  });

  test('of an empty range, or an empty export, are none', async () => {
    await using server = await ScriptedServer.start({ size: 0, contexts: ['base:allocation'] });
    await using client = await NbdClient.connect({ path: server.path }, { metaContexts: ['base:allocation'] });
    expect(await collect(client.extents())).toEqual([]);
    expect(await collect(client.extents({ offset: 0, length: 0 }))).toEqual([]);
  });

  test('of a context that was not granted are refused with UNSUPPORTED', async () => {
    await using server = await ScriptedServer.start({ contexts: ['base:allocation'] });
    await using client = await NbdClient.connect({ path: server.path }, { metaContexts: ['base:allocation', 'x:y'] });
    expect(await errorOf(collect(client.extents({ contexts: ['x:y'] })))).toMatchObject({ code: 'UNSUPPORTED' });
    await using bare = await NbdClient.connect({ path: server.path });
    expect(await errorOf(collect(bare.extents()))).toMatchObject({ code: 'UNSUPPORTED' });
  });

  test('fail with the errno of the server, and the connection stays usable', async () => {
    let failures = 1;
    await using server = await ScriptedServer.start({
      contexts: ['base:allocation'],
      onRequest: (request, socket) => {
        const reply = repliesTo(request);
        socket.write(failures-- > 0 ? reply.error(22, 'not now', 0) : reply.status(1, [request.length, 3], true));
      },
    });
    await using client = await NbdClient.connect({ path: server.path }, { metaContexts: ['base:allocation'] });
    expect(await errorOf(collect(client.extents()))).toMatchObject({ code: 'REQUEST', errno: 'EINVAL' });
    expect(await collect(client.extents())).toEqual([{ start: 0, length: 1024 * 1024, flags: [3] }]);
  });

  test('stop in mid-walk without harm to the connection', async () => {
    const random = new Random(1);
    const layout = Array.from({ length: 20_000 }, (_, i) => i % 2);
    await using server = await awkwardServer(random, [layout]);
    await using client = await NbdClient.connect({ path: server.path }, { metaContexts: ['base:allocation'] });
    for await (const batch of client.extents()) {
      expect(batch.length).toBeGreaterThan(0);
      break;
    }
    expect((await collect(client.extents())).length).toBe(20_000);
  });

  test('reject with the reason of an abort', async () => {
    await using server = await ScriptedServer.start({ contexts: ['base:allocation'] });
    const client = await NbdClient.connect({ path: server.path }, { metaContexts: ['base:allocation'] });
    const abort = new AbortController();
    const walk = collect(client.extents({ signal: abort.signal }));
    const outcome = expect(walk).rejects.toBe('enough');
    abort.abort('enough');
    await outcome;
    client.destroy();
  });
});
