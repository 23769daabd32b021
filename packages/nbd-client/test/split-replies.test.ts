import { NBD_CMD_BLOCK_STATUS, NBD_CMD_READ, NBD_CMD_WRITE } from '@virtnbd/nbd-protocol';
import { expect, test } from 'vitest';
import type { Headers } from '../src/handshake.ts';
import { Operation, type WireRequest } from '../src/operation.ts';
import { BufferTarget } from '../src/read-target.ts';
import { ReplyReceiver } from '../src/reply-receiver.ts';
import { repliesTo } from './replies.ts';

const DATA = Uint8Array.from({ length: 24 }, (_, i) => i + 1);
const BASE = 4096;

/** Feeds the bytes cut at the given places; tells which requests ended in which order, and what a read holds. */
function receive(command: number, headers: Headers, bytes: Uint8Array, cuts: readonly number[]) {
  const buffer = new Uint8Array(DATA.byteLength).fill(0xee);
  const target = new BufferTarget(buffer);
  const operation = new Operation({ command, offset: BASE, length: DATA.byteLength, piece: 1 << 20, target });
  const request = operation.next(7);
  const finished: WireRequest[] = [];
  const receiver = new ReplyReceiver({
    headers,
    contexts: new Map([
      [1, 'base:allocation'],
      [2, 'qemu:dirty-bitmap:b'],
    ]),
    find: (cookie) => (cookie === 7n ? request : undefined),
    finish: (done) => finished.push(done),
  });
  let from = 0;
  for (const to of [...cuts, bytes.byteLength]) {
    // A copy: the receiver must not keep a view of the socket's buffer.
    const piece = Uint8Array.from(bytes.subarray(from, to));
    receiver.push(piece);
    piece.fill(0xbb);
    from = to;
  }
  return { finished: finished.length, error: request.error, status: Object.fromEntries(request.status ?? []), buffer };
}

const reply = repliesTo({ cookie: 7n });
const unordered = Buffer.concat([
  reply.data(BASE + 16, DATA.subarray(16)),
  reply.hole(BASE + 4, 8),
  reply.data(BASE, DATA.subarray(0, 4)),
  reply.data(BASE + 12, DATA.subarray(12, 16)),
  reply.done(),
]);
const failed = Buffer.concat([
  reply.data(BASE, DATA.subarray(0, 8)),
  reply.error(5, 'bad sector', BASE + 8, false),
  reply.error(28, 'second', undefined, true),
]);
const wide = repliesTo({ cookie: 7n, offset: BASE }, { extended: true });
const extendedRead = Buffer.concat([
  wide.data(BASE + 12, DATA.subarray(12)),
  wide.hole(BASE + 4, 8),
  wide.data(BASE, DATA.subarray(0, 4), true),
]);
const withHole = Uint8Array.from(DATA).fill(0, 4, 12);

const cases = [
  ['a simple reply with data', NBD_CMD_READ, 'simple', reply.simple(0, DATA), { buffer: DATA }],
  ['a simple error', NBD_CMD_READ, 'simple', reply.simple(5), { error: { error: 5, message: '' } }],
  ['one data chunk', NBD_CMD_READ, 'structured', reply.data(BASE, DATA, true), { buffer: DATA }],
  ['chunks out of order and a hole', NBD_CMD_READ, 'structured', unordered, { buffer: withHole }],
  ['a hole alone', NBD_CMD_READ, 'structured', reply.hole(BASE, 24, true), { buffer: new Uint8Array(24) }],
  [
    'two errors after data',
    NBD_CMD_READ,
    'structured',
    failed,
    { error: { error: 5, message: 'bad sector', offset: BASE + 8 } },
  ],
  ['a simple answer to a write', NBD_CMD_WRITE, 'structured', reply.simple(), { error: undefined }],
  ['a structured answer to a write', NBD_CMD_WRITE, 'structured', reply.done(), { error: undefined }],
  [
    'two contexts of uneven length',
    NBD_CMD_BLOCK_STATUS,
    'structured',
    Buffer.concat([reply.status(2, [512, 1, 1024, 0]), reply.status(1, [4096, 3], true)]),
    { status: { 1: Uint32Array.of(4096, 3), 2: Uint32Array.of(512, 1, 1024, 0) } },
  ],
  ['extended chunks and a hole', NBD_CMD_READ, 'extended', extendedRead, { buffer: withHole }],
  [
    'an extended error',
    NBD_CMD_READ,
    'extended',
    wide.error(5, 'bad sector', BASE + 8),
    { error: { error: 5, message: 'bad sector', offset: BASE + 8 } },
  ],
  ['an extended answer to a write', NBD_CMD_WRITE, 'extended', wide.done(), { error: undefined }],
  [
    'contexts of 64 bits',
    NBD_CMD_BLOCK_STATUS,
    'extended',
    Buffer.concat([wide.status(1, [2 ** 45, 3, 512, 0]), wide.status(2, [512, 2 ** 52], true)]),
    { status: { 1: Float64Array.of(2 ** 45, 3, 512, 0), 2: Float64Array.of(512, 2 ** 52) } },
  ],
] as const;

test.each(cases)('%s is understood however it is split', (_, command, headers, bytes, expected) => {
  const whole = receive(command, headers, bytes, []);
  expect(whole).toMatchObject({ finished: 1, ...expected });
  for (let cut = 1; cut < bytes.byteLength; cut++) {
    expect(receive(command, headers, bytes, [cut]), `cut at ${cut}`).toEqual(whole);
  }
  const everyByte = Array.from({ length: bytes.byteLength - 1 }, (_, i) => i + 1);
  expect(receive(command, headers, bytes, everyByte)).toEqual(whole);
});

test('no reply is taken as whole before its last byte', () => {
  for (const [, command, headers, bytes] of cases) {
    for (let length = 0; length < bytes.byteLength; length++) {
      expect(receive(command, headers, bytes.subarray(0, length), []).finished).toBe(0);
    }
  }
});
