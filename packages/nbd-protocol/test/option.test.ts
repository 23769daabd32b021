import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  decodeExportName,
  decodeInfoRequest,
  decodeMetaContextRequest,
  decodeOptionHeader,
  encodeExportName,
  encodeInfoRequest,
  encodeMetaContextRequest,
  encodeOption,
  NBD_INFO_BLOCK_SIZE,
  NBD_OPT_GO,
  OPTION_HEADER_LENGTH,
} from '../src/index.ts';
import { codeOf, describeMessage, hex } from './codec-properties.ts';

describeMessage(
  'NBD_OPT_GO',
  { exportName: 'vda', kinds: [0, 3] },
  { encode: encodeInfoRequest, decode: decodeInfoRequest },
);
describeMessage(
  'NBD_OPT_SET_META_CONTEXT',
  { exportName: 'größe', queries: ['base:allocation', 'qemu:dirty-bitmap:backup-vda'] },
  { encode: encodeMetaContextRequest, decode: decodeMetaContextRequest },
);

test('an option is laid out as the specification says', () => {
  const data = encodeInfoRequest({ exportName: 'vda', kinds: [NBD_INFO_BLOCK_SIZE] });
  const bytes = encodeOption(NBD_OPT_GO, data);
  expect(hex(bytes)).toBe(`49484156454f5054${'00000007'}${'0000000b'}${'00000003766461'}${'00010003'}`);
  expect(decodeOptionHeader(bytes.subarray(0, OPTION_HEADER_LENGTH))).toEqual({ option: NBD_OPT_GO, length: 11 });
});

test('an option without the magic number is refused', () => {
  const bytes = encodeOption(NBD_OPT_GO);
  bytes[0] = 0;
  expect(codeOf(() => decodeOptionHeader(bytes))).toBe('BAD_MAGIC');
});

test('any names and queries come back', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 40 });
  fc.assert(
    fc.property(text, fc.array(text, { maxLength: 8 }), fc.array(fc.nat(0xffff)), (exportName, queries, kinds) => {
      expect(decodeMetaContextRequest(encodeMetaContextRequest({ exportName, queries }))).toEqual({
        exportName,
        queries,
      });
      expect(decodeInfoRequest(encodeInfoRequest({ exportName, kinds }))).toEqual({ exportName, kinds });
      expect(decodeExportName(encodeExportName(exportName))).toBe(exportName);
    }),
  );
});

test('random bytes are decoded or refused, never read past their end', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      codeOf(() => decodeMetaContextRequest(bytes));
      codeOf(() => decodeInfoRequest(bytes));
    }),
  );
});

test('a name of more than 4096 bytes is refused on both sides', () => {
  expect(codeOf(() => encodeExportName('x'.repeat(4097)))).toBe('LIMIT');
  expect(codeOf(() => decodeExportName(new Uint8Array(4097)))).toBe('LIMIT');
});

test('a count of queries that cannot fit is refused before anything is made', () => {
  expect(codeOf(() => decodeMetaContextRequest(Buffer.from('00000000ffffffff00000000', 'hex')))).toBe('BAD_LENGTH');
});

test('a name that is not UTF-8 is refused', () => {
  expect(codeOf(() => decodeExportName(Uint8Array.of(0xff, 0xfe)))).toBe('BAD_VALUE');
});
