import { Lz4Error, loadLz4 } from '@virtnbd/lz4';
import { StreamFormatError } from '../errors.ts';
import type { Codec, CompressedExtent } from './codec.ts';
import { type Walk, walkBytes } from './walk.ts';

/*
 * An LZ4 frame (github.com/lz4/lz4, doc/lz4_Frame_format.md), little-endian:
 *
 *   4  magic 0x184D2204
 *   1  FLG: version 01 | block independence | block checksum | content size | content checksum | reserved | dictionary
 *   1  BD: reserved | block maximum size 4…7 = 64 KiB, 256 KiB, 1 MiB, 4 MiB | reserved
 *   8  content size, when its flag is set
 *   1  header checksum
 *   n  blocks: 4 bytes of size (top bit: stored as it is), the block, 4 bytes of checksum when its flag is set
 *   4  end mark, zero
 *   4  content checksum, when its flag is set
 *
 * A decoder may take a frame that is cut between two blocks for whole, ignore what follows it, or let its output grow
 * as the blocks say. So the frame is walked first: it must end where its bytes do, and its blocks must be as many as the
 * declared length needs, which bounds the output before anything is decoded.
 */

const MAGIC = 0x184d2204;
const VERSION_MASK = 0xc0;
const VERSION_1 = 0x40;
const BLOCK_CHECKSUM = 0x10;
const CONTENT_SIZE = 0x08;
const CONTENT_CHECKSUM = 0x04;
const FLG_RESERVED = 0x02;
const DICTIONARY = 0x01;
const STORED = 0x80000000;

/** Magic, flags, descriptor, content size: what tells all about a frame but its blocks. */
const HEADER = 14;

export const lz4Codec: Codec = {
  method: 'lz4',
  smallest: 11,
  cuts: true,

  /** Every block of 64 KiB stored as it is, with checksums. */
  most: (length) => 19 + length + Math.ceil(length / 65536) * 8 + 8,

  walk: walkLz4,

  async open(stored, target, fileOffset, verified) {
    const { end, length } = walkBytes(walkLz4(fileOffset, target.length), stored, fileOffset);
    if (length !== target.length) throw bad(`declares ${length} bytes instead of ${target.length}`, fileOffset);
    if (end !== fileOffset + stored.length) throw bad('is followed by bytes that do not belong to it', fileOffset);
    const engine = await loadLz4();
    try {
      await engine.decompress(stored, target, { skipChecksums: verified });
    } catch (cause) {
      if (!(cause instanceof Lz4Error) || cause.code !== 'BAD_FRAME') throw cause;
      throw bad(`does not decompress (${cause.message})`, fileOffset, cause);
    }
  },
};

interface Header {
  readonly bytes: number;
  readonly contentSize: number | undefined;
  readonly blockMaximum: number;
  readonly blockChecksum: number;
  readonly contentChecksum: number;
}

/**
 * The content size that a frame's header declares, from its first 14 bytes; undefined when it declares none.
 *
 * @throws StreamFormatError BAD_PAYLOAD, UNSUPPORTED
 */
export function* lz4ContentSize(start: number): Walk<number | undefined> {
  return (yield* readHeader(start)).contentSize;
}

function* readHeader(start: number): Walk<Header> {
  const bytes = yield { at: start, length: HEADER };
  // The smallest frame has 11 bytes, and at least a stop frame follows it: 14 are there in every whole file.
  if (bytes === undefined) throw bad('is cut off', start);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== MAGIC) throw bad('does not begin with the mark of one', start);
  const flags = view.getUint8(4);
  const descriptor = view.getUint8(5);
  const blockMaximum = 2 ** (8 + 2 * ((descriptor >> 4) & 7));
  if ((flags & VERSION_MASK) !== VERSION_1 || (flags & FLG_RESERVED) !== 0) throw bad('has unknown flags', start);
  if ((descriptor & 0x8f) !== 0 || blockMaximum < 65536) throw bad('has an unknown block size', start);
  if ((flags & DICTIONARY) !== 0) {
    throw new StreamFormatError('UNSUPPORTED', `The LZ4 frame at byte ${start} needs a dictionary`, {
      fileOffset: start,
    });
  }
  const sized = (flags & CONTENT_SIZE) !== 0;
  const size = sized ? view.getBigUint64(6, true) : 0n;
  return {
    bytes: sized ? 15 : 7,
    contentSize: sized ? (size > Number.MAX_SAFE_INTEGER ? Number.POSITIVE_INFINITY : Number(size)) : undefined,
    blockMaximum,
    blockChecksum: (flags & BLOCK_CHECKSUM) !== 0 ? 4 : 0,
    contentChecksum: (flags & CONTENT_CHECKSUM) !== 0 ? 4 : 0,
  };
}

function* walkLz4(start: number, remaining: number): Walk<CompressedExtent> {
  const header = yield* readHeader(start);
  const length = header.contentSize ?? remaining;
  if (length > remaining) throw bad(`declares ${length} bytes instead of ${remaining}`, start);
  const expected = Math.ceil(length / header.blockMaximum);
  let position = start + header.bytes;
  for (let blocks = 0; ; blocks++) {
    const bytes = yield { at: position, length: 4 };
    if (bytes === undefined) throw bad('is cut off', start);
    const field = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
    position += 4;
    if (field === 0) {
      if (blocks !== expected) throw bad(`has ${blocks} blocks instead of ${expected}`, start);
      return { end: position + header.contentChecksum, length };
    }
    const size = field >= STORED ? field - STORED : field;
    if (size === 0 || size > header.blockMaximum || blocks === expected) throw bad('has a block that cannot be', start);
    position += size + header.blockChecksum;
  }
}

function bad(what: string, fileOffset: number, cause?: unknown): StreamFormatError {
  const message = `The LZ4 frame at byte ${fileOffset} ${what}: the file is damaged there`;
  return new StreamFormatError('BAD_PAYLOAD', message, { fileOffset, cause });
}
