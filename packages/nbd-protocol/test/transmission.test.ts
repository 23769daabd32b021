import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  decodeBlockStatus,
  decodeBlockStatusExt,
  decodeChunkHeader,
  decodeDataOffset,
  decodeErrorChunk,
  decodeExtendedChunkHeader,
  decodeExtendedRequest,
  decodeHole,
  decodeRequest,
  decodeSimpleReply,
  type ErrorChunk,
  encodeBlockStatus,
  encodeBlockStatusExt,
  encodeChunkHeader,
  encodeDataOffset,
  encodeErrorChunk,
  encodeExtendedChunkHeader,
  encodeExtendedRequest,
  encodeHole,
  encodeRequest,
  encodeSimpleReply,
  isErrorChunk,
  MAX_BLOCK_STATUS_EXT_LENGTH,
  MAX_BLOCK_STATUS_LENGTH,
  NBD_CMD_FLAG_FUA,
  NBD_CMD_WRITE,
  NBD_REPLY_FLAG_DONE,
  NBD_REPLY_TYPE_ERROR,
  NBD_REPLY_TYPE_ERROR_OFFSET,
  NBD_REPLY_TYPE_NONE,
  replyHeaderLength,
} from '../src/index.ts';
import { codeOf, describeMessage, hex } from './codec-properties.ts';

const request = {
  command: NBD_CMD_WRITE,
  flags: NBD_CMD_FLAG_FUA,
  cookie: 0x0102030405060708n,
  offset: 4096,
  length: 512,
};
const chunk = { flags: NBD_REPLY_FLAG_DONE, type: NBD_REPLY_TYPE_ERROR, cookie: 2n ** 64n - 1n, length: 0xffffffff };

describeMessage('a request', request, { encode: encodeRequest, decode: decodeRequest });
describeMessage('a simple reply', { error: 5, cookie: 7n }, { encode: encodeSimpleReply, decode: decodeSimpleReply });
describeMessage('a chunk header', chunk, { encode: encodeChunkHeader, decode: decodeChunkHeader });
describeMessage('a data offset', 2 ** 53 - 1, { encode: encodeDataOffset, decode: decodeDataOffset });
describeMessage('a hole', { offset: 65_536, length: 4096 }, { encode: encodeHole, decode: decodeHole });
describeMessage('an error chunk', { error: 28, message: 'no space' }, errorCodec(NBD_REPLY_TYPE_ERROR));
describeMessage(
  'an error with an offset',
  { error: 5, message: '', offset: 9 },
  errorCodec(NBD_REPLY_TYPE_ERROR_OFFSET),
);
describeMessage(
  'a block status',
  { contextId: 3, extents: Uint32Array.of(4096, 0) },
  { encode: encodeBlockStatus, decode: decodeBlockStatus },
);

describeMessage(
  'an extended request',
  { ...request, length: 2 ** 53 - 1 },
  { encode: encodeExtendedRequest, decode: decodeExtendedRequest },
);
describeMessage(
  'an extended chunk header',
  { ...chunk, offset: 2 ** 53 - 1, length: 2 ** 32 },
  { encode: encodeExtendedChunkHeader, decode: decodeExtendedChunkHeader },
);
describeMessage(
  'an extended block status',
  { contextId: 3, extents: Float64Array.of(2 ** 45, 3, 512, 2 ** 53 - 1) },
  { encode: encodeBlockStatusExt, decode: decodeBlockStatusExt },
);

test.each([
  ['an extent of no bytes', '0000000100000001 0000000000000000 0000000000000000', 'BAD_VALUE'],
  ['a length past 2^53', '0000000100000001 0020000000000000 0000000000000000', 'OUT_OF_RANGE'],
  ['flags past 2^53', '0000000100000001 0000000000000200 8000000000000000', 'OUT_OF_RANGE'],
  ['a count that is too small', '0000000100000000 0000000000000200 0000000000000000', 'BAD_LENGTH'],
  ['a count that is too large', '00000001ffffffff 0000000000000200 0000000000000000', 'BAD_LENGTH'],
  ['half an extent', '0000000100000001 0000000000000200', 'BAD_LENGTH'],
])('an extended block status with %s is refused', (_, bytes, code) => {
  expect(codeOf(() => decodeBlockStatusExt(Buffer.from(bytes.replaceAll(' ', ''), 'hex')))).toBe(code);
});

test('an extended block status of more than 2^20 extents is refused before it is read', () => {
  expect(codeOf(() => decodeBlockStatusExt(new Uint8Array(MAX_BLOCK_STATUS_EXT_LENGTH + 16)))).toBe('LIMIT');
});

test('a 64-bit field is exact up to 2^53 - 1, at every size', () => {
  const value = fc.oneof(
    fc.maxSafeNat(),
    fc.integer({ min: 0, max: 53 }).map((bits) => 2 ** bits - 1),
  );
  fc.assert(
    fc.property(value, value, (offset, length) => {
      const message = { command: 0, flags: 0, cookie: 1n, offset, length };
      const bytes = encodeExtendedRequest(message);
      expect(hex(bytes).slice(32)).toBe([offset, length].map((it) => it.toString(16).padStart(16, '0')).join(''));
      expect(decodeExtendedRequest(bytes)).toEqual(message);
    }),
  );
});

function errorCodec(type: number) {
  return { encode: encodeErrorChunk, decode: (bytes: Uint8Array): ErrorChunk => decodeErrorChunk(type, bytes) };
}

test('requests and replies are laid out as the specification says', () => {
  expect(hex(encodeRequest(request))).toBe('25609513000100010102030405060708000000000000100000000200');
  expect(hex(encodeSimpleReply({ error: 5, cookie: 7n }))).toBe('67446698000000050000000000000007');
  const header = encodeChunkHeader({ flags: 1, type: NBD_REPLY_TYPE_NONE, cookie: 7n, length: 0 });
  expect(hex(header)).toBe('668e33ef00010000000000000000000700000000');
});

test('any request comes back', () => {
  const u16 = fc.nat(0xffff);
  fc.assert(
    fc.property(u16, u16, fc.bigInt(0n, 2n ** 64n - 1n), fc.maxSafeNat(), (command, flags, cookie, offset) => {
      const any = { command, flags, cookie, offset, length: offset % 2 ** 32 };
      expect(decodeRequest(encodeRequest(any))).toEqual(any);
    }),
  );
});

test('numbers that do not fit their field are refused', () => {
  expect(codeOf(() => encodeRequest({ ...request, length: 2 ** 32 }))).toBe('OUT_OF_RANGE');
  expect(codeOf(() => encodeRequest({ ...request, offset: -1 }))).toBe('OUT_OF_RANGE');
  expect(codeOf(() => encodeRequest({ ...request, offset: 0.5 }))).toBe('OUT_OF_RANGE');
});

test('the first four bytes tell simple replies from chunks', () => {
  expect(replyHeaderLength(encodeSimpleReply({ error: 0, cookie: 1n }))).toBe(16);
  expect(replyHeaderLength(encodeChunkHeader(chunk))).toBe(20);
  expect(codeOf(() => replyHeaderLength(Uint8Array.of(1, 2, 3, 4)))).toBe('BAD_MAGIC');
});

test('a hole of no bytes is refused', () => {
  expect(codeOf(() => decodeHole(encodeHole({ offset: 0, length: 0 })))).toBe('BAD_VALUE');
});

test('an extent of no bytes is refused', () => {
  expect(codeOf(() => decodeBlockStatus(encodeBlockStatus({ contextId: 1, extents: [4096, 0, 0, 1] })))).toBe(
    'BAD_VALUE',
  );
});

test('a block status without a whole extent is refused', () => {
  expect(codeOf(() => decodeBlockStatus(new Uint8Array(4)))).toBe('BAD_LENGTH');
  expect(codeOf(() => decodeBlockStatus(new Uint8Array(16)))).toBe('BAD_LENGTH');
});

test('a block status of more than 2^20 extents is refused', () => {
  expect(codeOf(() => decodeBlockStatus(new Uint8Array(MAX_BLOCK_STATUS_LENGTH + 8)))).toBe('LIMIT');
});

test('an error chunk without an error is refused', () => {
  expect(codeOf(() => decodeErrorChunk(NBD_REPLY_TYPE_ERROR, new Uint8Array(6)))).toBe('BAD_VALUE');
});

test('an error message longer than its chunk, or than 4096 bytes, is refused', () => {
  const bytes = encodeErrorChunk({ error: 5, message: 'abc' });
  bytes[5] = 4;
  expect(codeOf(() => decodeErrorChunk(NBD_REPLY_TYPE_ERROR, bytes))).toBe('TRUNCATED');
  const long = new Uint8Array(6 + 4097);
  long.set([0, 0, 0, 5, 0x10, 0x01]);
  expect(codeOf(() => decodeErrorChunk(NBD_REPLY_TYPE_ERROR, long))).toBe('LIMIT');
});

test('an unknown error type is read like a plain error, its own fields passed over', () => {
  const bytes = Buffer.concat([encodeErrorChunk({ error: 5, message: 'abc' }), Uint8Array.of(1, 2, 3)]);
  expect(decodeErrorChunk(0x8123, bytes)).toEqual({ error: 5, message: 'abc' });
  expect(isErrorChunk(0x8123)).toBe(true);
  expect(isErrorChunk(5)).toBe(false);
});
