import { expect, test } from 'vitest';
import {
  decodeClientFlags,
  decodeExportNameReply,
  decodeGreeting,
  encodeClientFlags,
  encodeExportNameReply,
  encodeGreeting,
  exportNameReplyLength,
} from '../src/index.ts';
import { codeOf, describeMessage, hex } from './codec-properties.ts';

describeMessage('the greeting', 3, { encode: encodeGreeting, decode: decodeGreeting });
describeMessage('the client flags', 0x8000_0003, { encode: encodeClientFlags, decode: decodeClientFlags });
describeMessage(
  'the answer to NBD_OPT_EXPORT_NAME',
  { size: 2 ** 53 - 1, flags: 0xffff },
  { encode: (reply) => encodeExportNameReply(reply, true), decode: decodeExportNameReply },
);

test('the greeting is laid out as the specification says', () => {
  expect(hex(encodeGreeting(3))).toBe('4e42444d414749434948415645 4f50540003'.replace(' ', ''));
});

test('an oldstyle server is told apart', () => {
  const oldstyle = Buffer.from('4e42444d414749430000420281861253000000000010000000000000', 'hex');
  expect(codeOf(() => decodeGreeting(oldstyle))).toBe('BAD_MAGIC');
  expect(() => decodeGreeting(oldstyle)).toThrow(/oldstyle/);
});

test('a server that speaks something else is refused', () => {
  expect(codeOf(() => decodeGreeting(Buffer.from('HTTP/1.1 400 Bad Request')))).toBe('BAD_MAGIC');
});

test('a size past 2^53 - 1 is refused', () => {
  for (const size of ['0020000000000000', '7fffffffffffffff', 'ffffffffffffffff']) {
    expect(codeOf(() => decodeExportNameReply(Buffer.from(`${size}0001`, 'hex')))).toBe('OUT_OF_RANGE');
  }
});

test('the answer to NBD_OPT_EXPORT_NAME has 124 zeroes unless both sides leave them out', () => {
  expect(exportNameReplyLength(true)).toBe(10);
  const padded = encodeExportNameReply({ size: 4096, flags: 1 }, false);
  expect(padded.byteLength).toBe(134);
  expect(hex(padded)).toBe(`00000000000010000001${'00'.repeat(124)}`);
});
