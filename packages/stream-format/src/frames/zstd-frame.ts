import { promisify } from 'node:util';
import { constants, zstdDecompress } from 'node:zlib';
import { StreamFormatError } from '../errors.ts';
import type { Codec, CompressedExtent } from './codec.ts';
import { type Walk, walkBytes } from './walk.ts';

/*
 * A Zstandard frame (RFC 8878, section 3.1.1), little-endian:
 *
 *   4    magic 0xFD2FB528
 *   1    descriptor: 2 bits size of the content size | single segment | unused | reserved | checksum | 2 bits dictionary
 *   0-1  window, absent in a single segment: 5 bits exponent, 3 bits mantissa
 *   0-4  dictionary (refused)
 *   0-8  content size
 *   n    blocks: 3 bytes of last | 2 bits type | 21 bits size; raw and compressed ones take size bytes, a repeated byte 1
 *   4    checksum
 */

const MAGIC = 0xfd2fb528;
const SINGLE_SEGMENT = 0x20;
const RESERVED = 0x08;
const CHECKSUM = 0x04;
const DICTIONARY = 0x03;
const REPEATED = 1;
const COMPRESSED = 2;
const BLOCK_MAXIMUM = 128 * 1024;
/** log2 of the largest window that is opened: 64 MiB, as much as a frame may hold. */
const WINDOW_LOG = 26;

const decompress = promisify(zstdDecompress);

export const zstdCodec: Codec = {
  method: 'zstd',
  smallest: 13,
  cuts: false,

  most: mostBytes,

  walk: walkZstd,

  async open(stored, target, fileOffset) {
    const { end, length } = walkBytes(walkZstd(fileOffset, target.length), stored, fileOffset);
    if (length !== target.length) throw bad(`declares ${length} bytes instead of ${target.length}`, fileOffset);
    if (end !== fileOffset + stored.length) throw bad('is followed by bytes that do not belong to it', fileOffset);
    let bytes: Uint8Array;
    try {
      const params = { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG };
      bytes = await decompress(stored, { maxOutputLength: Math.max(1, target.length), params });
    } catch (cause) {
      throw bad(`does not decompress (${cause instanceof Error ? cause.message : cause})`, fileOffset, cause);
    }
    if (bytes.length !== target.length) {
      throw bad(`holds ${bytes.length} bytes instead of ${target.length}`, fileOffset);
    }
    target.set(bytes);
  },
};

function* walkZstd(start: number, remaining: number): Walk<CompressedExtent> {
  const head = yield { at: start, length: 6 };
  if (head === undefined) throw bad('is cut off', start);
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (view.getUint32(0, true) !== MAGIC) throw bad('does not begin with the mark of one', start);
  const descriptor = view.getUint8(4);
  if ((descriptor & RESERVED) !== 0) throw bad('has unknown flags', start);
  if ((descriptor & DICTIONARY) !== 0) throw unsupported('needs a dictionary', start);
  if ((descriptor & CHECKSUM) === 0) throw unsupported('has no checksum', start);
  const single = (descriptor & SINGLE_SEGMENT) !== 0;
  if (!single && windowBytes(view.getUint8(5)) > 2 ** WINDOW_LOG) throw unsupported('needs too large a window', start);
  let position = start + (single ? 5 : 6);
  let length = remaining;
  const sizeBytes = [single ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  if (sizeBytes > 0) {
    const field = yield { at: position, length: sizeBytes };
    if (field === undefined) throw bad('is cut off', start);
    length = contentSize(field);
    if (length > remaining) throw bad(`declares ${length} bytes instead of ${remaining}`, start);
    position += sizeBytes;
  }
  for (let last = false; !last; ) {
    const bytes = yield { at: position, length: 3 };
    if (bytes === undefined) throw bad('is cut off', start);
    const field = (bytes[0] ?? 0) | ((bytes[1] ?? 0) << 8) | ((bytes[2] ?? 0) << 16);
    const type = (field >> 1) & 3;
    const size = field >> 3;
    if (type > COMPRESSED || size > BLOCK_MAXIMUM) throw bad('has a block that cannot be', start);
    position += 3 + (type === REPEATED ? 1 : size);
    if (position - start > mostBytes(length)) throw bad('is longer than it can be', start);
    last = (field & 1) !== 0;
  }
  return { end: position + 4, length };
}

function mostBytes(length: number): number {
  return 64 + length + Math.ceil(length / 256);
}

function windowBytes(field: number): number {
  const base = 2 ** (10 + (field >> 3));
  return base + (base / 8) * (field & 7);
}

function contentSize(field: Uint8Array): number {
  let size = 0;
  for (let i = field.length - 1; i >= 0; i--) size = size * 256 + (field[i] ?? 0);
  return field.length === 2 ? size + 256 : size;
}

function unsupported(what: string, fileOffset: number): StreamFormatError {
  return new StreamFormatError('UNSUPPORTED', `The zstd frame at byte ${fileOffset} ${what}`, { fileOffset });
}

function bad(what: string, fileOffset: number, cause?: unknown): StreamFormatError {
  const message = `The zstd frame at byte ${fileOffset} ${what}: the file is damaged there`;
  return new StreamFormatError('BAD_PAYLOAD', message, { fileOffset, cause });
}
