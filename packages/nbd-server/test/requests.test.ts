import { setTimeout as delay } from 'node:timers/promises';
import {
  CHUNK_HEADER_LENGTH,
  decodeChunkHeader,
  decodeErrorChunk,
  decodeExtendedChunkHeader,
  decodeSimpleReply,
  EXTENDED_CHUNK_HEADER_LENGTH,
  encodeExtendedRequest,
  encodeRequest,
  errnoName,
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_CACHE,
  NBD_CMD_DISC,
  NBD_CMD_FLAG_DF,
  NBD_CMD_FLAG_FUA,
  NBD_CMD_FLAG_PAYLOAD_LEN,
  NBD_CMD_FLUSH,
  NBD_CMD_READ,
  NBD_CMD_TRIM,
  NBD_CMD_WRITE,
  NBD_CMD_WRITE_ZEROES,
  NBD_OPT_EXTENDED_HEADERS,
  NBD_OPT_STRUCTURED_REPLY,
  type Request,
  SIMPLE_REPLY_LENGTH,
} from '@virtnbd/nbd-protocol';
import { waitFor } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { MemorySource, pattern, WritableSource } from './memory-source.ts';
import { RawClient } from './raw-client.ts';
import { serve } from './serving.ts';

const MIB = 1 << 20;
const SIZE = 8 * MIB;
const content = pattern(SIZE);

const request = (command: number, offset: number, length: number, more: Partial<Request> = {}) =>
  encodeRequest({ command, offset, length, flags: 0, cookie: 7n, ...more });

/** The error of a structured reply of one chunk; '' for none. */
async function errorOf(client: RawClient): Promise<string> {
  const header = decodeChunkHeader(await client.read(CHUNK_HEADER_LENGTH));
  expect(header.cookie).toBe(7n);
  const payload = await client.read(header.length);
  return header.type >= 0x8000 ? errnoName(decodeErrorChunk(header.type, payload).error) : '';
}

/** A write of as much payload. */
const writeOf = (offset: number, length: number, more: Partial<Request> = {}) =>
  Buffer.concat([request(NBD_CMD_WRITE, offset, length, more), Buffer.alloc(length, 0x55)]);

const tooFar = (() => {
  const bytes = Buffer.from(request(NBD_CMD_READ, 0, 512));
  bytes.writeBigUInt64BE(2n ** 64n - 512n, 16);
  return bytes;
})();

describe('a writable export with blocks of 512 bytes, at most 1 MiB', () => {
  test.each<[string, Uint8Array, string]>([
    ['a read that begins outside', request(NBD_CMD_READ, SIZE, 512), 'EINVAL'],
    ['a read that ends outside', request(NBD_CMD_READ, SIZE - 512, 1024), 'EINVAL'],
    ['a read at an offset that no number holds', tooFar, 'EINVAL'],
    ['a read of nothing', request(NBD_CMD_READ, 0, 0), 'EINVAL'],
    ['an unaligned offset', request(NBD_CMD_READ, 1, 512), 'EINVAL'],
    ['an unaligned length', request(NBD_CMD_READ, 0, 513), 'EINVAL'],
    ['a read that is too long', request(NBD_CMD_READ, 0, MIB + 512), 'EINVAL'],
    ['a write that is too long', writeOf(0, 2 * MIB), 'EINVAL'],
    ['a write outside', writeOf(SIZE, 512), 'ENOSPC'],
    ['zeroes outside', request(NBD_CMD_WRITE_ZEROES, SIZE - 512, 1024), 'ENOSPC'],
    ['a trim outside', request(NBD_CMD_TRIM, 0, 4294966784), 'EINVAL'],
    ['a flush with a range', request(NBD_CMD_FLUSH, 0, 512), 'EINVAL'],
    ['block status without a context', request(NBD_CMD_BLOCK_STATUS, 0, 512), 'EINVAL'],
    ['an unknown command', request(99, 0, 512), 'EINVAL'],
    ['a command that is not offered', request(NBD_CMD_CACHE, 0, 512), 'EINVAL'],
    ['an unknown flag', request(NBD_CMD_READ, 0, 512, { flags: 1 << 15 }), 'EINVAL'],
    ['the flag of another form', writeOf(0, 512, { flags: NBD_CMD_FLAG_PAYLOAD_LEN }), 'EINVAL'],
  ])('%s fails with its errno, and nothing else does', async (_, bytes, errno) => {
    const source = new WritableSource(Buffer.from(content));
    await using serving = await serve([{ source, blockSize: { minimum: 512, maximum: MIB } }]);
    using client = await RawClient.greeted(serving.path);
    await client.option(NBD_OPT_STRUCTURED_REPLY);
    await client.option(7, Buffer.of(0, 0, 0, 0, 0, 1, 0, 3));
    client.send(bytes);
    expect(await errorOf(client)).toBe(errno);
    expect(source.calls).toBe(0);
    client.send(request(NBD_CMD_READ, 512, 512));
    expect(await errorOf(client)).toBe('');
    expect(source.bytes.equals(content)).toBe(true);
  });

  test('a long read in one piece is refused, one of a mebibyte comes in one piece', async () => {
    await using serving = await serve(new MemorySource(content));
    using client = await RawClient.opened(serving.path, [NBD_OPT_STRUCTURED_REPLY]);
    client.send(request(NBD_CMD_READ, 0, 2 * MIB, { flags: NBD_CMD_FLAG_DF }));
    expect(await errorOf(client)).toBe('EOVERFLOW');
    client.send(request(NBD_CMD_READ, 0, MIB, { flags: NBD_CMD_FLAG_DF }));
    const header = decodeChunkHeader(await client.read(CHUNK_HEADER_LENGTH));
    expect(header).toMatchObject({ flags: 1, length: MIB + 8 });
  });
});

test.each([
  ['a write', NBD_CMD_WRITE],
  ['zeroes', NBD_CMD_WRITE_ZEROES],
  ['a trim', NBD_CMD_TRIM],
])('%s to a read-only export is EPERM, also where the source could be written', async (_, command) => {
  const source = new WritableSource(Buffer.from(content));
  await using serving = await serve([{ source, readOnly: true }]);
  using client = await RawClient.opened(serving.path, [NBD_OPT_STRUCTURED_REPLY]);
  client.send(command === NBD_CMD_WRITE ? writeOf(0, 5 * MIB) : request(command, 0, 4096));
  expect(await errorOf(client)).toBe('EPERM');
  expect(source.calls).toBe(0);
});

describe('extended headers', () => {
  const extended = (command: number, offset: bigint, length: bigint, flags = 0) => {
    const bytes = encodeExtendedRequest({ command, flags, cookie: 7n, offset: 0, length: 0 });
    const view = Buffer.from(bytes.buffer);
    view.writeBigUInt64BE(offset, 16);
    view.writeBigUInt64BE(length, 24);
    return bytes;
  };
  const payload = (length: number) => Buffer.alloc(length, 0x55);
  const PAYLOAD = NBD_CMD_FLAG_PAYLOAD_LEN;

  test.each<[string, Uint8Array[], string]>([
    ['a read of 2^64 - 1 bytes', [extended(NBD_CMD_READ, 0n, 2n ** 64n - 1n)], 'EINVAL'],
    ['a read at 2^64 - 1', [extended(NBD_CMD_READ, 2n ** 64n - 1n, 1n)], 'EINVAL'],
    ['a write without a payload', [extended(NBD_CMD_WRITE, 0n, 4096n)], 'EINVAL'],
    ['a read with a payload', [extended(NBD_CMD_READ, 0n, 4096n, PAYLOAD), payload(4096)], 'EINVAL'],
    ['zeroes over 2^63 bytes', [extended(NBD_CMD_WRITE_ZEROES, 0n, 2n ** 63n)], 'ENOSPC'],
    ['a write with a payload', [extended(NBD_CMD_WRITE, 4096n, 2000n, PAYLOAD), payload(2000)], ''],
    ['zeroes', [extended(NBD_CMD_WRITE_ZEROES, 4096n, BigInt(SIZE - 4096))], ''],
  ])('%s is judged, and the stream stays in step', async (_, bytes, errno) => {
    await using serving = await serve(new WritableSource(Buffer.from(content)));
    using client = await RawClient.opened(serving.path, [NBD_OPT_EXTENDED_HEADERS]);
    for (const [pieces, expected] of [
      [bytes, errno],
      [[extended(NBD_CMD_READ, 0n, 512n)], ''],
    ] as const) {
      client.send(...pieces);
      const header = decodeExtendedChunkHeader(await client.read(EXTENDED_CHUNK_HEADER_LENGTH));
      expect(header).toMatchObject({ cookie: 7n, flags: 1 });
      const data = await client.read(header.length);
      const failed = header.type >= 0x8000;
      expect(failed ? errnoName(decodeErrorChunk(header.type, data).error) : '').toBe(expected);
    }
  });

  test('a payload that could never end is not waited for', async () => {
    await using serving = await serve(new WritableSource(Buffer.from(content)));
    using client = await RawClient.opened(serving.path, [NBD_OPT_EXTENDED_HEADERS]);
    client.send(extended(NBD_CMD_WRITE, 0n, 2n ** 60n, PAYLOAD));
    await client.ended();
  });
});

test('simple replies carry long reads, and errors', async () => {
  await using serving = await serve(new MemorySource(content));
  using client = await RawClient.opened(serving.path);
  client.send(request(NBD_CMD_READ, 3, 5 * MIB));
  expect(decodeSimpleReply(await client.read(SIMPLE_REPLY_LENGTH))).toEqual({ error: 0, cookie: 7n });
  expect((await client.read(5 * MIB)).equals(content.subarray(3, 3 + 5 * MIB))).toBe(true);
  client.send(request(NBD_CMD_READ, SIZE, 1));
  expect(decodeSimpleReply(await client.read(SIMPLE_REPLY_LENGTH)).error).toBe(22);
});

test('a simple reply that has begun and cannot go on ends the connection', async () => {
  const source = new MemorySource(content);
  source.before = (_, call) => {
    if (call === 2) throw new Error('a bad sector');
  };
  await using serving = await serve(source);
  using client = await RawClient.opened(serving.path);
  client.send(request(NBD_CMD_READ, 0, 5 * MIB));
  await client.ended();
  expect(serving.events).toContainEqual(expect.objectContaining({ type: 'source-error', offset: 0, length: 5 * MIB }));
});

test('a write with FUA is flushed before it is answered', async () => {
  const source = new WritableSource(Buffer.from(content));
  await using serving = await serve(source);
  using client = await RawClient.opened(serving.path, [NBD_OPT_STRUCTURED_REPLY]);
  client.send(writeOf(4096, 3 * MIB, { flags: NBD_CMD_FLAG_FUA }));
  expect(await errorOf(client)).toBe('');
  expect(source.flushes).toBe(1);
  expect(source.bytes.subarray(4096, 4096 + 3 * MIB).every((byte) => byte === 0x55)).toBe(true);
});

test('what a client asked for before it said good-bye is answered', async () => {
  const source = new MemorySource(content);
  source.before = () => delay(50);
  await using serving = await serve(source);
  using client = await RawClient.opened(serving.path);
  client.send(request(NBD_CMD_READ, 0, 4096), request(NBD_CMD_DISC, 0, 0));
  expect((await client.read(SIMPLE_REPLY_LENGTH + 4096)).subarray(16).equals(content.subarray(0, 4096))).toBe(true);
  await client.ended();
  await waitFor(() => serving.events.find(({ type }) => type === 'disconnected'));
  expect(serving.events.at(-1)).not.toHaveProperty('error');
});

test('requests are served side by side, up to the limit', async () => {
  const source = new MemorySource(content);
  let running = 0;
  let most = 0;
  source.before = async () => {
    most = Math.max(most, ++running);
    await delay(5);
    running--;
  };
  await using serving = await serve(source, { maxRequests: 5 });
  using client = await RawClient.opened(serving.path);
  client.send(...Array.from({ length: 40 }, (_, i) => request(NBD_CMD_READ, i * 4096, 4096)));
  await client.read(40 * (4096 + SIMPLE_REPLY_LENGTH));
  expect(most).toBe(5);
});

test('every request is told, with its bytes', async () => {
  const seen: string[] = [];
  await using serving = await serve(new MemorySource(content), {
    onRequest: ({ command, offset, length, header }) => {
      seen.push(`${command} ${offset} ${length} ${Buffer.from(header).toString('hex', 0, 4)}`);
      throw new Error('a listener may fail');
    },
  });
  using client = await RawClient.opened(serving.path);
  client.send(request(NBD_CMD_READ, 4096, 512));
  await client.read(SIMPLE_REPLY_LENGTH + 512);
  expect(seen).toEqual(['NBD_CMD_READ 4096 512 25609513']);
});
