import { describe, expect, test } from 'vitest';
import { encodeFrameHeader } from '../src/frames/frame-header.ts';
import { encodeMeta } from '../src/frames/meta.ts';
import { bytesSource, StreamFile } from '../src/index.ts';
import { CRLF, data, meta, metaJson, stop, trailer, zero } from './raw-frames.ts';
import { lz4Frame as compressLz4, metaOf } from './writing.ts';

async function codeOf(...parts: Uint8Array[]): Promise<string> {
  try {
    const file = await StreamFile.open(bytesSource(Buffer.concat(parts)));
    for (let frame = 0; frame < file.index.count; frame++) {
      if (file.index.kind(frame) === 'data') await file.payload(frame);
    }
    return 'fine';
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error);
  }
}

describe('frames', () => {
  test('the plain case is fine', async () => {
    expect(await codeOf(meta(), zero(0, 100), data(100, 100), stop)).toBe('fine');
  });

  test.each<[string, string, Uint8Array[]]>([
    ['a frame past the end of the disk', 'OUT_OF_RANGE', [meta(), data(4000, 100), stop]],
    ['a zero frame past the end of the disk', 'OUT_OF_RANGE', [meta(), data(0, 100), zero(4096, 1), stop]],
    ['frames out of order', 'FRAME_ORDER', [meta(), data(1000, 100), zero(0, 100), stop]],
    ['frames that overlap', 'FRAME_ORDER', [meta(), data(0, 100), zero(99, 100), stop]],
    ['an empty frame', 'BAD_FRAME_HEADER', [meta(), data(0, 100), zero(200, 0), stop]],
    ['a second meta frame', 'BAD_FRAME_HEADER', [meta(), meta(), data(0, 100), stop]],
    ['a comp frame among the others', 'BAD_FRAME_HEADER', [meta(), encodeFrameHeader('comp', 0, 0), stop]],
    ['a stop frame with a length', 'BAD_FRAME_HEADER', [meta(), data(0, 100), encodeFrameHeader('stop', 0, 1)]],
    ['no stop frame', 'TRUNCATED', [meta(), data(0, 100)]],
    ['bytes after the stop frame', 'BAD_TRAILER', [meta(), data(0, 100), stop, CRLF]],
    ['a second stop frame', 'BAD_TRAILER', [meta(), data(0, 100), stop, stop]],
    ['a payload without CR LF', 'BAD_FRAME_HEADER', [meta(), data(0, 100).subarray(0, -2), Buffer.from('\n\r'), stop]],
    ['a sum that is not dataSize', 'BAD_META', [meta(), data(0, 99), stop]],
    [
      'an upper-case digit',
      'BAD_FRAME_HEADER',
      [meta(), Buffer.from('zero 000000000000000A 0000000000000001\r\n'), stop],
    ],
    ['a number of 2^53', 'LIMIT', [meta(), Buffer.from('zero 0020000000000000 0000000000000001\r\n'), stop]],
    ['an unknown kind', 'BAD_FRAME_HEADER', [meta(), Buffer.from('date 0000000000000000 0000000000000001\r\n'), stop]],
  ])('%s: %s', async (_, code, parts) => {
    expect(await codeOf(...parts)).toBe(code);
  });
});

describe('meta', () => {
  const rest = [data(0, 100), stop];
  test.each<[string, string, Uint8Array]>([
    ['no JSON', 'BAD_META', metaJson('{')],
    ['an array', 'BAD_META', metaJson('[]')],
    ['no UTF-8', 'BAD_META', metaJson(Uint8Array.of(0xff, 0xfe))],
    ['no virtualSize', 'BAD_META', meta({ virtualSize: null })],
    ['a virtualSize that is no integer', 'BAD_META', meta({ virtualSize: 4096.5 })],
    ['a virtualSize past 2^53', 'BAD_META', meta({ virtualSize: 2 ** 60 })],
    ['a diskName that is a number', 'BAD_META', meta({ diskName: 1 })],
    ['incremental missing', 'BAD_META', meta({ incremental: undefined })],
    ['a parent that is true', 'BAD_META', meta({ parentCheckpoint: true })],
    ['a writer that is a string', 'BAD_META', meta({ writer: 'x' })],
    ['no version', 'BAD_META', meta({ streamVersion: undefined })],
    ['version 4', 'UNSUPPORTED', meta({ streamVersion: 4 })],
    ['version 0', 'UNSUPPORTED', meta({ streamVersion: 0 })],
    ['lz4 in version 3', 'UNSUPPORTED', meta({ streamVersion: 3, compressed: 1, compressionMethod: 'lz4' })],
    ['an unknown method', 'UNSUPPORTED', meta({ compressed: 1, compressionMethod: 'brotli' })],
    ['zstd in version 2', 'UNSUPPORTED', meta({ compressed: 1, compressionMethod: 'zstd' })],
    ['more than 1 MiB', 'LIMIT', metaJson(Buffer.alloc(1024 * 1024 + 1, 0x20))],
  ])('%s: %s', async (_, code, bytes) => {
    expect(await codeOf(bytes, ...rest)).toBe(code);
  });

  test('a length that exceeds the file is refused before anything is read', async () => {
    expect(await codeOf(encodeFrameHeader('meta', 0, 1_000_000), CRLF)).toBe('TRUNCATED');
  });

  test('exactly 1 MiB is fine', async () => {
    const json = JSON.stringify(metaOf(4096, 100)).padEnd(1024 * 1024, ' ');
    expect(await codeOf(metaJson(json), ...rest)).toBe('fine');
  });

  test.each([
    ['version 1', { streamVersion: 1, compressed: undefined, compressionMethod: undefined }],
    ['the old spelling of the version', { streamVersion: undefined, 'stream-version': 1 }],
    ['no parent key', { parentCheckpoint: undefined }],
  ])('%s is fine', async (_, more) => {
    expect(await codeOf(meta(more), ...rest)).toBe('fine');
  });

  test('a key __proto__ stays a mere key', async () => {
    const json = JSON.stringify(metaOf(4096, 100)).replace('{', '{"__proto__":{"virtualSize":1},');
    const file = await StreamFile.open(bytesSource(Buffer.concat([metaJson(json), ...rest])));
    expect(file.meta.virtualSize).toBe(4096);
    expect(Object.keys(file.meta.extra)).toContain('__proto__');
    expect(encodeMeta(file.meta).length).toBeGreaterThan(100);
  });
});

describe('compressed files', async () => {
  const guest = Buffer.alloc(100, 'abc');
  const lz4 = await compressLz4(guest);
  const size = lz4.length;
  const head = meta({ compressed: true });
  const frame = data(0, 100, lz4);

  test.each<[string, string]>([
    ['a plain entry', `[${size}]`],
    ['spaces anywhere', ` [ ${size} ]\n`],
  ])('%s is fine, under `compressed: true`', async (_, json) => {
    expect(await codeOf(head, frame, stop, trailer(json))).toBe('fine');
  });

  test('a level of 0 is compressed when there is a trailer, and not when there is none', async () => {
    expect(await codeOf(meta({ compressed: 0 }), frame, stop, trailer(`[${size}]`))).toBe('fine');
    expect(await codeOf(meta({ compressed: 0 }), data(0, 100), stop)).toBe('fine');
  });

  test.each<[string, string, string]>([
    ['too few entries', 'BAD_TRAILER', '[]'],
    ['too many entries', 'BAD_TRAILER', `[${size}, ${size}]`],
    ['a size too small', 'BAD_FRAME_HEADER', `[${size - 1}]`],
    ['a size larger than the file', 'BAD_TRAILER', '[99999999]'],
    ['a size that the length cannot need', 'BAD_TRAILER', '[190]'],
    ['a huge number', 'BAD_TRAILER', `[${'9'.repeat(400)}]`],
    ['a leading zero', 'BAD_TRAILER', `[0${size}]`],
    ['a fraction', 'BAD_TRAILER', `[${size}.0]`],
    ['a negative number', 'BAD_TRAILER', `[-${size}]`],
    ['a string', 'BAD_TRAILER', `["${size}"]`],
    ['two arrays', 'BAD_TRAILER', `[${size}][]`],
    ['an array that does not end', 'BAD_TRAILER', `[${size}`],
    ['a trailing comma', 'BAD_TRAILER', `[${size},]`],
    ['numbers without a comma', 'BAD_TRAILER', `[${size} 1]`],
    ['a total that is not the sum', 'BAD_TRAILER', `[{"${size}": [${size - 12}, 11]}]`],
    ['an entry without pieces', 'BAD_TRAILER', `[{"${size}": []}]`],
    ['two totals', 'BAD_TRAILER', `[{"${size}": [${size}], "${size}": [${size}]}]`],
  ])('%s in the trailer: %s', async (_, code, json) => {
    expect(await codeOf(head, frame, stop, trailer(json))).toBe(code);
  });

  test.each<[string, string, Uint8Array[]]>([
    ['no trailer', 'BAD_TRAILER', [head, frame, stop]],
    ['a gap before the trailer', 'BAD_TRAILER', [head, frame, stop, CRLF, trailer(`[${size}]`)]],
    ['bytes after the trailer', 'TRUNCATED', [head, frame, stop, trailer(`[${size}]`), CRLF]],
    ['a trailer of an uncompressed file', 'BAD_TRAILER', [meta(), data(0, 100), stop, trailer('[100]')]],
  ])('%s: %s', async (_, code, parts) => {
    expect(await codeOf(...parts)).toBe(code);
  });

  const payload = (bytes: Uint8Array) => [head, data(0, 100, bytes), stop, trailer(`[${bytes.length}]`)];

  test.each<[string, (frame: Buffer) => Uint8Array]>([
    ['trailing bytes after the LZ4 frame', (bytes) => Buffer.concat([bytes, Buffer.alloc(4)])],
    ['an LZ4 frame cut at its last block', (bytes) => bytes.subarray(0, -8)],
    ['no LZ4 frame', () => Buffer.alloc(100)],
    ['reserved flags', (bytes) => set(bytes, 4, 0x76)],
    ['reserved bits in the descriptor', (bytes) => set(bytes, 5, 0xc0)],
    ['an unknown block size', (bytes) => set(bytes, 5, 0x30)],
  ])('%s: BAD_PAYLOAD', async (_, change) => {
    expect(await codeOf(...payload(change(Buffer.from(lz4))))).toBe('BAD_PAYLOAD');
  });

  test('an LZ4 frame of more or fewer bytes than declared: BAD_PAYLOAD', async () => {
    expect(await codeOf(...payload(await compressLz4(guest.subarray(1))))).toBe('BAD_PAYLOAD');
    expect(await codeOf(...payload(await compressLz4(Buffer.alloc(101))))).toBe('BAD_PAYLOAD');
  });

  test('an LZ4 frame that would unpack to a hundred times its declared length is not unpacked', async () => {
    const bomb = await compressLz4(Buffer.alloc(8 * 1024 * 1024));
    const head = meta({ compressed: true, virtualSize: 2 ** 20, dataSize: 70_000 });
    expect(await codeOf(head, data(0, 70_000, bomb), stop, trailer(`[${bomb.length}]`))).toBe('BAD_PAYLOAD');
  });

  test('an LZ4 frame with a dictionary: UNSUPPORTED', async () => {
    expect(await codeOf(...payload(set(Buffer.from(lz4), 4, 0x75)))).toBe('UNSUPPORTED');
  });

  test('an LZ4 frame declared to hold more than 64 MiB: LIMIT', async () => {
    const length = 65 * 1024 * 1024;
    const head = meta({ compressed: true, virtualSize: 2 ** 30, dataSize: length });
    expect(await codeOf(head, data(0, length, lz4), stop, trailer(`[${size}]`))).toBe('LIMIT');
  });

  test('a cut frame whose pieces do not tell their sizes: UNSUPPORTED', async () => {
    const two = Buffer.concat([lz4, lz4]);
    const head = meta({ compressed: true, dataSize: 200 });
    const json = `[{"${two.length}": [${size}, ${size}]}]`;
    expect(await codeOf(head, data(0, 200, two), stop, trailer(json))).toBe('UNSUPPORTED');
  });
});

function set(bytes: Buffer, position: number, value: number): Buffer {
  bytes[position] = value;
  return bytes;
}
