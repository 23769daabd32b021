import { expect, test } from 'vitest';
import {
  decodeErrorReply,
  decodeInfo,
  decodeMetaContext,
  decodeOptionReplyHeader,
  decodeServerReply,
  encodeErrorReply,
  encodeInfo,
  encodeMetaContext,
  encodeOptionReply,
  encodeServerReply,
  type Info,
  isErrorReply,
  NBD_INFO_BLOCK_SIZE,
  NBD_INFO_DESCRIPTION,
  NBD_INFO_EXPORT,
  NBD_INFO_NAME,
  NBD_OPT_GO,
  NBD_REP_ACK,
  NBD_REP_ERR_UNKNOWN,
  NBD_REP_INFO,
} from '../src/index.ts';
import { codeOf, describeMessage, hex } from './codec-properties.ts';

const info = {
  encode: (message: Info | undefined) => (message ? encodeInfo(message) : new Uint8Array(0)),
  decode: decodeInfo,
};
describeMessage<Info | undefined>('NBD_INFO_EXPORT', { kind: NBD_INFO_EXPORT, size: 2 ** 40, flags: 0x0502 }, info);
describeMessage<Info | undefined>(
  'NBD_INFO_BLOCK_SIZE',
  { kind: NBD_INFO_BLOCK_SIZE, minimum: 512, preferred: 4096, maximum: 0xffffffff },
  info,
);

test('NBD_INFO_NAME and NBD_INFO_DESCRIPTION come back, empty too', () => {
  for (const text of ['', 'a disk']) {
    expect(decodeInfo(encodeInfo({ kind: NBD_INFO_NAME, exportName: text }))).toEqual({
      kind: NBD_INFO_NAME,
      exportName: text,
    });
    const description = { kind: NBD_INFO_DESCRIPTION, description: text } as const;
    expect(decodeInfo(encodeInfo(description))).toEqual(description);
  }
});

test('an unknown kind of information is ignored', () => {
  expect(decodeInfo(Uint8Array.of(0xab, 0xcd, 1, 2, 3))).toBeUndefined();
});

test('information with bytes left over is refused', () => {
  const bytes = encodeInfo({ kind: NBD_INFO_EXPORT, size: 1, flags: 1 });
  expect(codeOf(() => decodeInfo(Buffer.concat([bytes, Uint8Array.of(0)])))).toBe('BAD_LENGTH');
});

test.each([
  [0, 4096, 4096],
  [3, 4096, 4096],
  [131_072, 131_072, 131_072],
  [512, 0, 4096],
  [512, 1000, 4096],
  [4096, 512, 4096],
  [4096, 4096, 2048],
])('block sizes %i, %i, %i are refused', (minimum, preferred, maximum) => {
  const bytes = encodeInfo({ kind: NBD_INFO_BLOCK_SIZE, minimum, preferred, maximum });
  expect(codeOf(() => decodeInfo(bytes))).toBe('BAD_VALUE');
});

test('an option reply is laid out as the specification says', () => {
  const bytes = encodeOptionReply(NBD_OPT_GO, NBD_REP_INFO, encodeInfo({ kind: NBD_INFO_EXPORT, size: 1, flags: 1 }));
  expect(hex(bytes)).toBe(`0003e889045565a9${'00000007'}${'00000003'}${'0000000c'}${'000000000000000000010001'}`);
  expect(decodeOptionReplyHeader(bytes)).toEqual({ option: NBD_OPT_GO, type: NBD_REP_INFO, length: 12 });
});

test('an option reply is refused when its header is cut at any byte, or its magic is wrong', () => {
  const bytes = encodeOptionReply(NBD_OPT_GO, NBD_REP_ACK);
  for (let length = 0; length < bytes.byteLength; length++) {
    expect(codeOf(() => decodeOptionReplyHeader(bytes.subarray(0, length)))).toMatch(/TRUNCATED/);
  }
  bytes[7] = 0;
  expect(codeOf(() => decodeOptionReplyHeader(bytes))).toBe('BAD_MAGIC');
});

test('errors are told from successes, unknown ones too', () => {
  expect(isErrorReply(NBD_REP_ERR_UNKNOWN)).toBe(true);
  expect(isErrorReply(0xffffffff)).toBe(true);
  expect(isErrorReply(NBD_REP_ACK)).toBe(false);
});

test("a server's message, export and meta context come back", () => {
  expect(decodeErrorReply(encodeErrorReply('no such export'))).toBe('no such export');
  const server = { exportName: 'vda', description: 'first disk' };
  expect(decodeServerReply(encodeServerReply(server))).toEqual(server);
  const context = { id: 0xffffffff, name: 'base:allocation' };
  expect(decodeMetaContext(encodeMetaContext(context))).toEqual(context);
});

test('a message of more than 4096 bytes is refused, one that is not UTF-8 is not', () => {
  expect(codeOf(() => decodeErrorReply(new Uint8Array(4097)))).toBe('LIMIT');
  expect(decodeErrorReply(Uint8Array.of(0x61, 0xff))).toBe('a\ufffd');
});

test('a name longer than its reply is refused', () => {
  expect(codeOf(() => decodeServerReply(Buffer.from('0000000561', 'hex')))).toBe('TRUNCATED');
});
