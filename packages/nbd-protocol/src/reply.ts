import {
  NBD_EXTENDED_REPLY_MAGIC,
  NBD_REPLY_TYPE_FLAG_ERROR,
  NBD_SIMPLE_REPLY_MAGIC,
  NBD_STRUCTURED_REPLY_MAGIC,
} from './constants.ts';
import { NbdCodecError } from './errors.ts';
import { FieldReader, FieldWriter } from './fields.ts';

// proto.md, "Simple reply message":
//
//   offset  0  32 bits  0x67446698
//           4  32 bits  error, 0 for none
//           8  64 bits  cookie
//          16  NBD_CMD_READ without an error only: the data, as long as was asked
//
// and "Structured reply chunk message":
//
//   offset  0  32 bits  0x668e33ef
//           4  16 bits  flags
//           6  16 bits  type
//           8  64 bits  cookie
//          16  32 bits  length of the payload
//          20  payload
//
// and, where extended headers were agreed on (branch extension-ext-header), "Extended reply chunk message" alone:
//
//   offset  0  32 bits  0x6e8a278c
//           4  16 bits  flags
//           6  16 bits  type
//           8  64 bits  cookie
//          16  64 bits  offset of the request
//          24  64 bits  length of the payload
//          32  payload
//
// All have the magic first and the cookie at 8: which of them it is can be told from the first 16 bytes.

/** Bytes of a simple reply's header. */
export const SIMPLE_REPLY_LENGTH = 16;
/** Bytes of a structured reply chunk's header. */
export const CHUNK_HEADER_LENGTH = 20;
/** Bytes of an extended reply chunk's header. */
export const EXTENDED_CHUNK_HEADER_LENGTH = 32;

/** A simple reply's header. */
export interface SimpleReply {
  /** An NBD error value, 0 for none; `errnoName` gives its name. */
  error: number;
  cookie: bigint;
}

/** The header of a structured reply chunk. */
export interface ChunkHeader {
  /** NBD_REPLY_FLAG_DONE or 0. */
  flags: number;
  /** NBD_REPLY_TYPE_* */
  type: number;
  cookie: bigint;
  /** Bytes of payload that follow. The caller bounds it before it allocates. */
  length: number;
}

/**
 * Bytes of the header that begins here, told from its first four bytes.
 *
 * @throws NbdCodecError `BAD_MAGIC` where no reply begins here
 */
export function replyHeaderLength(bytes: Uint8Array): number {
  const magic = new FieldReader(bytes, 'reply').u32();
  if (magic === NBD_STRUCTURED_REPLY_MAGIC) return CHUNK_HEADER_LENGTH;
  if (magic === NBD_SIMPLE_REPLY_MAGIC) return SIMPLE_REPLY_LENGTH;
  if (magic === NBD_EXTENDED_REPLY_MAGIC) return EXTENDED_CHUNK_HEADER_LENGTH;
  throw new NbdCodecError('BAD_MAGIC', `reply: unknown magic 0x${magic.toString(16)}`);
}

/** @throws NbdCodecError `TRUNCATED`, `BAD_MAGIC` */
export function decodeSimpleReply(bytes: Uint8Array): SimpleReply {
  const fields = new FieldReader(bytes, 'simple reply');
  fields.magic(NBD_SIMPLE_REPLY_MAGIC);
  return { error: fields.u32(), cookie: fields.u64() };
}

/** A simple reply's header. */
export function encodeSimpleReply(reply: SimpleReply): Uint8Array<ArrayBuffer> {
  return new FieldWriter(SIMPLE_REPLY_LENGTH).u32(NBD_SIMPLE_REPLY_MAGIC).u32(reply.error).u64(reply.cookie).bytes;
}

/** @throws NbdCodecError `TRUNCATED`, `BAD_MAGIC` */
export function decodeChunkHeader(bytes: Uint8Array): ChunkHeader {
  const fields = new FieldReader(bytes, 'structured reply chunk');
  fields.magic(NBD_STRUCTURED_REPLY_MAGIC);
  const flags = fields.u16();
  const type = fields.u16();
  return { flags, type, cookie: fields.u64(), length: fields.u32() };
}

/** A structured reply chunk's header. */
export function encodeChunkHeader(header: ChunkHeader): Uint8Array<ArrayBuffer> {
  return new FieldWriter(CHUNK_HEADER_LENGTH)
    .u32(NBD_STRUCTURED_REPLY_MAGIC)
    .u16(header.flags)
    .u16(header.type)
    .u64(header.cookie)
    .u32(header.length).bytes;
}

/** The header of an extended reply chunk: a {@link ChunkHeader} that also names the request's offset. */
export interface ExtendedChunkHeader extends ChunkHeader {
  /** Bytes into the export: that of the request, whatever the payload says. */
  offset: number;
}

/** @throws NbdCodecError `TRUNCATED`, `BAD_MAGIC`, `OUT_OF_RANGE` for an offset or a length past 2^53 - 1 */
export function decodeExtendedChunkHeader(bytes: Uint8Array): ExtendedChunkHeader {
  const fields = new FieldReader(bytes, 'extended reply chunk');
  fields.magic(NBD_EXTENDED_REPLY_MAGIC);
  const flags = fields.u16();
  const type = fields.u16();
  return { flags, type, cookie: fields.u64(), offset: fields.size(), length: fields.size() };
}

/** An extended reply chunk's header. */
export function encodeExtendedChunkHeader(header: ExtendedChunkHeader): Uint8Array<ArrayBuffer> {
  return new FieldWriter(EXTENDED_CHUNK_HEADER_LENGTH)
    .u32(NBD_EXTENDED_REPLY_MAGIC)
    .u16(header.flags)
    .u16(header.type)
    .u64(header.cookie)
    .size(header.offset)
    .size(header.length).bytes;
}

/** Whether a chunk type is one of NBD_REPLY_TYPE_ERROR*, known or not. */
export function isErrorChunk(type: number): boolean {
  return (type & NBD_REPLY_TYPE_FLAG_ERROR) !== 0;
}
