import {
  CHUNK_HEADER_LENGTH,
  decodeBlockStatus,
  decodeBlockStatusExt,
  decodeChunkHeader,
  decodeErrorChunk,
  decodeExtendedChunkHeader,
  EXTENDED_CHUNK_HEADER_LENGTH,
  encodeExtendedRequest,
  encodeMetaContextRequest,
  encodeRequest,
  errnoName,
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_FLAG_REQ_ONE,
  NBD_OPT_EXTENDED_HEADERS,
  NBD_OPT_GO,
  NBD_OPT_SET_META_CONTEXT,
  NBD_OPT_STRUCTURED_REPLY,
} from '@virtnbd/nbd-protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BlockSource, SourceExtent } from '../src/index.ts';
import { RawClient } from './raw-client.ts';
import { serve } from './serving.ts';

const extentsOf = (lengths: readonly number[]) => {
  let start = 0;
  return lengths.map((length, i): SourceExtent => {
    const extent = { start, length, kind: i % 3 === 0 ? ('data' as const) : ('zero' as const) };
    start += length;
    return extent;
  });
};

const sourceOf = (extents: readonly SourceExtent[], size: number, asynchronous: boolean): BlockSource => ({
  size,
  read: async () => {},
  extents: (offset) => {
    const from = extents.filter(({ start, length }) => start + length > offset);
    if (!asynchronous) return from;
    return (async function* () {
      for (const extent of from) yield extent;
    })();
  },
});

async function withContext(path: string, form: number): Promise<RawClient> {
  const client = await RawClient.greeted(path);
  await client.option(form);
  const queries = ['base:allocation'];
  await client.option(NBD_OPT_SET_META_CONTEXT, encodeMetaContextRequest({ exportName: '', queries }));
  await client.option(NBD_OPT_GO, Buffer.alloc(6));
  return client;
}

/** Length and flags by turns, or the name of an error. */
async function status(client: RawClient, extended: boolean, offset: number, length: number, flags = 0) {
  const request = { command: NBD_CMD_BLOCK_STATUS, flags, cookie: 9n, offset, length };
  client.send(extended ? encodeExtendedRequest(request) : encodeRequest(request));
  const header = extended
    ? decodeExtendedChunkHeader(await client.read(EXTENDED_CHUNK_HEADER_LENGTH))
    : decodeChunkHeader(await client.read(CHUNK_HEADER_LENGTH));
  const payload = await client.read(header.length);
  if (header.type >= 0x8000) return errnoName(decodeErrorChunk(header.type, payload).error);
  return [...(extended ? decodeBlockStatusExt(payload) : decodeBlockStatus(payload)).extents];
}

/** Status of each byte, the slow way. */
function model(extents: readonly SourceExtent[], offset: number, length: number): number[] {
  const list: number[] = [];
  for (let at = offset; at < offset + length; at++) {
    const extent = extents.find(({ start, length: bytes }) => start <= at && at < start + bytes);
    const flags = extent?.kind === 'zero' ? 3 : 0;
    if (list.length > 0 && list.at(-1) === flags) list[list.length - 2] = (list.at(-2) ?? 0) + 1;
    else list.push(1, flags);
  }
  return list;
}

test.each([
  ['structured', NBD_OPT_STRUCTURED_REPLY],
  ['extended', NBD_OPT_EXTENDED_HEADERS],
])('block status of any range is that of its bytes, cut and joined (%s)', async (_, form) => {
  const extended = form === NBD_OPT_EXTENDED_HEADERS;
  const lengths = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(lengths, fc.nat(), fc.nat(), fc.boolean(), async (list, a, b, asynchronous) => {
      const extents = extentsOf(list);
      const size = list.reduce((sum, length) => sum + length, 0);
      const offset = a % size;
      const length = 1 + (b % (size - offset));
      await using serving = await serve(sourceOf(extents, size, asynchronous));
      using client = await withContext(serving.path, form);
      const expected = model(extents, offset, length);
      expect(await status(client, extended, offset, length)).toEqual(expected);
      expect(await status(client, extended, offset, length, NBD_CMD_FLAG_REQ_ONE)).toEqual(expected.slice(0, 2));
    }),
    { numRuns: 60 },
  );
});

test('a reply is bounded, and the next request goes on where it ended', async () => {
  const count = 100_001;
  const extents = Array.from({ length: count }, (_, i): SourceExtent => {
    return { start: i * 4096, length: 4096, kind: i % 2 === 0 ? 'data' : 'zero' };
  });
  const size = count * 4096;
  const source: BlockSource = { size, read: async () => {}, extents: (offset) => extents.slice(offset / 4096) };
  await using serving = await serve(source);
  using client = await withContext(serving.path, NBD_OPT_STRUCTURED_REPLY);
  const flags: number[] = [];
  let replies = 0;
  for (let at = 0; at < size; replies++) {
    const reply = await status(client, false, at, size - at);
    if (typeof reply === 'string') throw new Error(reply);
    for (let i = 0; i < reply.length; i += 2) {
      expect(reply[i]).toBe(4096);
      flags.push(reply[i + 1] ?? -1);
      at += 4096;
    }
  }
  expect(replies).toBe(4);
  expect(flags).toEqual(extents.map(({ kind }) => (kind === 'zero' ? 3 : 0)));
});

describe('a source that breaks its contract fails the request, not the connection', () => {
  test.each<[string, SourceExtent[]]>([
    [
      'a gap',
      [
        { start: 0, length: 4096, kind: 'data' },
        { start: 8192, length: 8192, kind: 'data' },
      ],
    ],
    ['an end too early', [{ start: 0, length: 4096, kind: 'zero' }]],
    ['no extents', []],
    ['an extent of no bytes', [{ start: 0, length: 0, kind: 'data' }]],
  ])('%s', async (_, extents) => {
    await using serving = await serve({ size: 16_384, read: async () => {}, extents: () => extents });
    using client = await withContext(serving.path, NBD_OPT_STRUCTURED_REPLY);
    expect(await status(client, false, 0, 16_384)).toBe('EIO');
    expect(serving.events.at(-1)).toMatchObject({ type: 'source-error', error: { code: 'SOURCE' } });
    expect(await status(client, false, 0, 16_384)).toBe('EIO');
  });
});
