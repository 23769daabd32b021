import { NBD_CMD_BLOCK_STATUS, NBD_CMD_READ, NBD_CMD_WRITE } from '@virtnbd/nbd-protocol';
import { expect, test } from 'vitest';
import { Operation, type WireRequest } from '../src/operation.ts';
import { ReplyReceiver } from '../src/reply-receiver.ts';
import { repliesTo } from './replies.ts';

const DATA = Uint8Array.from({ length: 24 }, (_, i) => i + 1);
const BASE = 4096;

/** Feeds the bytes cut at the given places; tells which requests ended in which order, and what a read holds. */
function receive(command: number, structured: boolean, bytes: Uint8Array, cuts: readonly number[]) {
  const buffer = new Uint8Array(DATA.byteLength).fill(0xee);
  const operation = new Operation({ command, offset: BASE, length: DATA.byteLength, piece: 1 << 20, buffer });
  const request = operation.next(7);
  const finished: WireRequest[] = [];
  const receiver = new ReplyReceiver({
    structured,
    contextIds: new Set([1, 2]),
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
  return { finished: finished.length, error: request.error, status: Object.fromEntries(request.status), buffer };
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
const withHole = Uint8Array.from(DATA).fill(0, 4, 12);

const cases = [
  ['a simple reply with data', NBD_CMD_READ, false, reply.simple(0, DATA), { buffer: DATA }],
  ['a simple error', NBD_CMD_READ, false, reply.simple(5), { error: { error: 5, message: '' } }],
  ['one data chunk', NBD_CMD_READ, true, reply.data(BASE, DATA, true), { buffer: DATA }],
  ['chunks out of order and a hole', NBD_CMD_READ, true, unordered, { buffer: withHole }],
  ['a hole alone', NBD_CMD_READ, true, reply.hole(BASE, 24, true), { buffer: new Uint8Array(24) }],
  [
    'two errors after data',
    NBD_CMD_READ,
    true,
    failed,
    { error: { error: 5, message: 'bad sector', offset: BASE + 8 } },
  ],
  ['a simple answer to a write', NBD_CMD_WRITE, true, reply.simple(), { error: undefined }],
  ['a structured answer to a write', NBD_CMD_WRITE, true, reply.done(), { error: undefined }],
  [
    'two contexts of uneven length',
    NBD_CMD_BLOCK_STATUS,
    true,
    Buffer.concat([reply.status(2, [512, 1, 1024, 0]), reply.status(1, [4096, 3], true)]),
    { status: { 1: Uint32Array.of(4096, 3), 2: Uint32Array.of(512, 1, 1024, 0) } },
  ],
] as const;

test.each(cases)('%s is understood however it is split', (_, command, structured, bytes, expected) => {
  const whole = receive(command, structured, bytes, []);
  expect(whole).toMatchObject({ finished: 1, ...expected });
  for (let cut = 1; cut < bytes.byteLength; cut++) {
    expect(receive(command, structured, bytes, [cut]), `cut at ${cut}`).toEqual(whole);
  }
  const everyByte = Array.from({ length: bytes.byteLength - 1 }, (_, i) => i + 1);
  expect(receive(command, structured, bytes, everyByte)).toEqual(whole);
});

test('no reply is taken as whole before its last byte', () => {
  for (const [, command, structured, bytes] of cases) {
    for (let length = 0; length < bytes.byteLength; length++) {
      expect(receive(command, structured, bytes.subarray(0, length), []).finished).toBe(0);
    }
  }
});
