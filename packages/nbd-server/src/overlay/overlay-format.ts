import { crc32 } from 'node:zlib';
import { NbdServerError } from '../errors.ts';
import { BLOCK, BLOCKS_PER_PAGE, PAGE } from './overlay-index.ts';

// An overlay's file, version 1; numbers are big-endian, all parts begin at multiples of 4096 bytes:
//
//   header      offset    0  8 bytes  "VNBDOVLY"
//                         8  32 bits  version, 1
//                        12  32 bits  bytes of a block, 4096
//                        16  64 bits  size of the disk, bytes
//                        24  32 bits  length of the identity, at most 2048
//                        28           identity of the base, UTF-8
//                      4092  32 bits  crc32 of the bytes before
//   directory   offset 4096  a byte for each page: 0 absent (all blocks are the base's), 1 stored, 2 all blocks are zeroes
//   pages       two bits for each block, the lowest first: 0 the base has it, 1 this file has it, 2 it is zeroes;
//               a page is 4096 bytes, 16384 blocks
//   data        each block at its own place: start of this part + its offset in the disk
//
// The file is sparse, and reaches to the last block that it has: file systems have a longest file (16 TiB on ext4), and a disk
// of that size must be possible. A flush brings data to stable storage first, then pages, then the directory:
// at any moment, what the index says is there is there.

const MAGIC = 'VNBDOVLY';
const VERSION = 1;
const LONGEST_IDENTITY = 2048;
export const HEADER = 4096;
const CHECKSUM_AT = HEADER - 4;

/** Where the parts of an overlay's file begin, bytes. */
export interface Layout {
  readonly pageCount: number;
  readonly directory: number;
  readonly pages: number;
  readonly data: number;
}

export function layoutFor(size: number): Layout {
  const blocks = Math.ceil(size / BLOCK);
  const pageCount = Math.ceil(blocks / BLOCKS_PER_PAGE);
  const directory = HEADER;
  const pages = directory + Math.ceil(pageCount / PAGE) * PAGE;
  const data = pages + pageCount * PAGE;
  return { pageCount, directory, pages, data };
}

/** @throws NbdServerError `USAGE` for an identity that is too long */
export function encodeHeader(size: number, identity: string): Uint8Array {
  const text = Buffer.from(identity);
  if (text.byteLength > LONGEST_IDENTITY) {
    throw new NbdServerError('USAGE', `the identity of an overlay's base has at most ${LONGEST_IDENTITY} bytes`);
  }
  const bytes = Buffer.alloc(HEADER);
  bytes.write(MAGIC, 0, 'latin1');
  bytes.writeUInt32BE(VERSION, 8);
  bytes.writeUInt32BE(BLOCK, 12);
  bytes.writeBigUInt64BE(BigInt(size), 16);
  bytes.writeUInt32BE(text.byteLength, 24);
  bytes.set(text, 28);
  bytes.writeUInt32BE(crc32(bytes.subarray(0, CHECKSUM_AT)), CHECKSUM_AT);
  return bytes;
}

/** @throws NbdServerError `OVERLAY_FORMAT` */
export function decodeHeader(bytes: Buffer): { size: number; identity: string } {
  if (bytes.toString('latin1', 0, 8) !== MAGIC) throw malformed('it does not begin like one');
  if (bytes.readUInt32BE(CHECKSUM_AT) !== crc32(bytes.subarray(0, CHECKSUM_AT)))
    throw malformed('its header is damaged');
  const version = bytes.readUInt32BE(8);
  const block = bytes.readUInt32BE(12);
  if (version !== VERSION || block !== BLOCK) throw malformed(`version ${version} with blocks of ${block} bytes`);
  const size = bytes.readBigUInt64BE(16);
  const length = bytes.readUInt32BE(24);
  if (size > BigInt(Number.MAX_SAFE_INTEGER) || length > LONGEST_IDENTITY) throw malformed('its header has bad values');
  return { size: Number(size), identity: bytes.toString('utf8', 28, 28 + length) };
}

export function malformed(why: string): NbdServerError {
  return new NbdServerError('OVERLAY_FORMAT', `the file is no overlay that can be used: ${why}`);
}
