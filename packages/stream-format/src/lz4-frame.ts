import { compressFrame, decompressFrame } from 'lz4-napi';
import { StreamFormatError } from './errors.ts';

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
 * The decoder in lz4-napi takes a frame that is cut between two blocks for whole, ignores what follows the frame, and
 * lets its output grow as the blocks say. So the frame is walked here first: it must fill its bytes exactly, and its
 * blocks must be as many as the declared length needs, which bounds the output before anything is decoded.
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

/** Bytes of a frame header that holds a content size, up to and with that size. */
export const LZ4_CONTENT_SIZE_END = 14;

/** The most bytes that one frame of `length` bytes may take: every block of 64 KiB stored as it is, with checksums. */
export function maxLz4FrameBytes(length: number): number {
  return 19 + length + Math.ceil(length / 65536) * 8 + 8;
}

/** One LZ4 frame with block and content checksums. The bytes must not change before it resolves. */
export async function compressLz4(bytes: Uint8Array): Promise<Uint8Array> {
  return await compressFrame(bytes, { blockChecksums: true, contentChecksum: true });
}

/**
 * Decompresses exactly one LZ4 frame of exactly `length` bytes; its checksums are verified.
 *
 * @param fileOffset of the frame, for the error
 * @throws StreamFormatError BAD_PAYLOAD, or UNSUPPORTED for a frame that needs a dictionary
 */
export async function decompressLz4(frame: Uint8Array, length: number, fileOffset: number): Promise<Uint8Array> {
  checkLz4Frame(frame, length, fileOffset);
  let bytes: Uint8Array;
  try {
    bytes = await decompressFrame(frame);
  } catch (cause) {
    throw bad(`does not decompress (${cause instanceof Error ? cause.message : String(cause)})`, fileOffset, cause);
  }
  if (bytes.length !== length) throw bad(`holds ${bytes.length} bytes instead of ${length}`, fileOffset);
  return bytes;
}

/**
 * The content size that a frame's header declares, from its first 14 bytes; undefined when it declares none.
 *
 * @throws StreamFormatError BAD_PAYLOAD
 */
export function lz4ContentSize(header: Uint8Array, fileOffset: number): number | undefined {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  if (header.length < LZ4_CONTENT_SIZE_END || view.getUint32(0, true) !== MAGIC) {
    throw bad('does not begin with the mark of one', fileOffset);
  }
  if ((view.getUint8(4) & CONTENT_SIZE) === 0) return undefined;
  const size = view.getBigUint64(6, true);
  return size > BigInt(Number.MAX_SAFE_INTEGER) ? Number.POSITIVE_INFINITY : Number(size);
}

/** Walks the frame without decoding it. */
function checkLz4Frame(frame: Uint8Array, length: number, fileOffset: number): void {
  if (frame.length < 7) throw bad('is too short', fileOffset);
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (view.getUint32(0, true) !== MAGIC) throw bad('does not begin with the mark of one', fileOffset);
  const flags = view.getUint8(4);
  const descriptor = view.getUint8(5);
  const blockMaximum = 2 ** (8 + 2 * ((descriptor >> 4) & 7));
  if ((flags & VERSION_MASK) !== VERSION_1 || (flags & FLG_RESERVED) !== 0) throw bad('has unknown flags', fileOffset);
  if ((descriptor & 0x8f) !== 0 || blockMaximum < 65536) throw bad('has an unknown block size', fileOffset);
  if ((flags & DICTIONARY) !== 0) {
    throw new StreamFormatError('UNSUPPORTED', `The LZ4 frame at byte ${fileOffset} needs a dictionary`, {
      fileOffset,
    });
  }
  let position = 7;
  if ((flags & CONTENT_SIZE) !== 0) {
    position += 8;
    if (frame.length < position) throw bad('is too short', fileOffset);
    const declared = lz4ContentSize(frame, fileOffset);
    if (declared !== length) throw bad(`declares ${declared} bytes instead of ${length}`, fileOffset);
  }
  position = walkBlocks(view, position, {
    fileOffset,
    blockMaximum,
    blocks: Math.ceil(length / blockMaximum),
    checksumBytes: (flags & BLOCK_CHECKSUM) !== 0 ? 4 : 0,
  });
  if ((flags & CONTENT_CHECKSUM) !== 0) position += 4;
  if (position > frame.length) throw bad('is cut off', fileOffset);
  if (position < frame.length) throw bad('is followed by bytes that do not belong to it', fileOffset);
}

interface BlockRules {
  readonly fileOffset: number;
  readonly blockMaximum: number;
  readonly blocks: number;
  readonly checksumBytes: number;
}

/** The position after the end mark. */
function walkBlocks(view: DataView, from: number, rules: BlockRules): number {
  let position = from;
  for (let blocks = 0; ; blocks++) {
    if (position + 4 > view.byteLength) throw bad('is cut off', rules.fileOffset);
    const field = view.getUint32(position, true);
    position += 4;
    if (field === 0) {
      if (blocks !== rules.blocks) throw bad(`has ${blocks} blocks instead of ${rules.blocks}`, rules.fileOffset);
      return position;
    }
    const size = field >= STORED ? field - STORED : field;
    if (size === 0 || size > rules.blockMaximum || blocks === rules.blocks) {
      throw bad('has a block that cannot be', rules.fileOffset);
    }
    position += size + rules.checksumBytes;
  }
}

function bad(what: string, fileOffset: number, cause?: unknown): StreamFormatError {
  const message = `The LZ4 frame at byte ${fileOffset} ${what}: the file is damaged there`;
  return new StreamFormatError('BAD_PAYLOAD', message, { fileOffset, cause });
}
