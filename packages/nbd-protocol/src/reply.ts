import { NBD_REPLY_TYPE_FLAG_ERROR, NBD_SIMPLE_REPLY_MAGIC, NBD_STRUCTURED_REPLY_MAGIC } from './constants.ts';
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
// Both have the magic first and the cookie at 8: which of the two it is can be told from the first 16 bytes.

/** Bytes of a simple reply's header. */
export const SIMPLE_REPLY_LENGTH = 16;
/** Bytes of a structured reply chunk's header. */
export const CHUNK_HEADER_LENGTH = 20;

export interface SimpleReply {
  /** An NBD error value, 0 for none; `errnoName` gives its name. */
  error: number;
  cookie: bigint;
}

export interface ChunkHeader {
  flags: number;
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
  throw new NbdCodecError('BAD_MAGIC', `reply: unknown magic 0x${magic.toString(16)}`);
}

export function decodeSimpleReply(bytes: Uint8Array): SimpleReply {
  const fields = new FieldReader(bytes, 'simple reply');
  fields.magic(NBD_SIMPLE_REPLY_MAGIC);
  return { error: fields.u32(), cookie: fields.u64() };
}

export function encodeSimpleReply(reply: SimpleReply): Uint8Array<ArrayBuffer> {
  return new FieldWriter(SIMPLE_REPLY_LENGTH).u32(NBD_SIMPLE_REPLY_MAGIC).u32(reply.error).u64(reply.cookie).bytes;
}

export function decodeChunkHeader(bytes: Uint8Array): ChunkHeader {
  const fields = new FieldReader(bytes, 'structured reply chunk');
  fields.magic(NBD_STRUCTURED_REPLY_MAGIC);
  const flags = fields.u16();
  const type = fields.u16();
  return { flags, type, cookie: fields.u64(), length: fields.u32() };
}

export function encodeChunkHeader(header: ChunkHeader): Uint8Array<ArrayBuffer> {
  return new FieldWriter(CHUNK_HEADER_LENGTH)
    .u32(NBD_STRUCTURED_REPLY_MAGIC)
    .u16(header.flags)
    .u16(header.type)
    .u64(header.cookie)
    .u32(header.length).bytes;
}

/** Whether a chunk type is one of NBD_REPLY_TYPE_ERROR*, known or not. */
export function isErrorChunk(type: number): boolean {
  return (type & NBD_REPLY_TYPE_FLAG_ERROR) !== 0;
}
