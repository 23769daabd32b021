import { NBD_MAX_STATUS_EXTENTS, NBD_MAX_STRING, NBD_REPLY_TYPE_ERROR_OFFSET } from './constants.ts';
import { NbdCodecError } from './errors.ts';
import { encodeString, FieldReader, FieldWriter } from './fields.ts';

// proto.md, "Structured reply types": the payloads of the chunks. NBD_REPLY_TYPE_NONE has none.

// NBD_REPLY_TYPE_OFFSET_DATA: 64 bits of offset, then at least one byte of data.

/** Bytes before the data of an NBD_REPLY_TYPE_OFFSET_DATA chunk. */
export const OFFSET_DATA_PREFIX_LENGTH = 8;

/** The absolute offset of a data chunk, from the first eight bytes of its payload. */
export function decodeDataOffset(bytes: Uint8Array): number {
  return new FieldReader(bytes, 'NBD_REPLY_TYPE_OFFSET_DATA').size();
}

/** What stands before the data of an NBD_REPLY_TYPE_OFFSET_DATA chunk. */
export function encodeDataOffset(offset: number): Uint8Array<ArrayBuffer> {
  return new FieldWriter(OFFSET_DATA_PREFIX_LENGTH).size(offset).bytes;
}

// NBD_REPLY_TYPE_OFFSET_HOLE: 64 bits of offset, 32 bits of length, which is not 0.

/** Bytes of an NBD_REPLY_TYPE_OFFSET_HOLE chunk's payload. */
export const OFFSET_HOLE_LENGTH = 12;

/** A range of a read that is all zeroes, bytes into the export and bytes. */
export interface Hole {
  offset: number;
  length: number;
}

/** @throws NbdCodecError `BAD_VALUE` for a hole of no bytes; `TRUNCATED`, `BAD_LENGTH`, `OUT_OF_RANGE` */
export function decodeHole(bytes: Uint8Array): Hole {
  const fields = new FieldReader(bytes, 'NBD_REPLY_TYPE_OFFSET_HOLE');
  const hole = { offset: fields.size(), length: fields.u32() };
  fields.end();
  if (hole.length === 0) throw new NbdCodecError('BAD_VALUE', 'NBD_REPLY_TYPE_OFFSET_HOLE: a hole of no bytes');
  return hole;
}

/** The payload of NBD_REPLY_TYPE_OFFSET_HOLE. */
export function encodeHole(hole: Hole): Uint8Array<ArrayBuffer> {
  return new FieldWriter(OFFSET_HOLE_LENGTH).size(hole.offset).u32(hole.length).bytes;
}

// NBD_REPLY_TYPE_BLOCK_STATUS:
//
//   32 bits  context id
//   for each extent:  32 bits  length, bytes, not 0
//                     32 bits  status flags

/** Bytes of the longest block-status payload that a server should send: 2^20 extents. */
export const MAX_BLOCK_STATUS_LENGTH = 4 + 8 * NBD_MAX_STATUS_EXTENTS;

/** The extents of one meta context. */
export interface BlockStatus {
  contextId: number;
  /** Length and flags of each extent by turns. The extents follow one another from the request's offset. */
  extents: Uint32Array;
}

/** @throws NbdCodecError `LIMIT`, `BAD_LENGTH`, `BAD_VALUE` for an extent of no bytes */
export function decodeBlockStatus(bytes: Uint8Array): BlockStatus {
  const fields = new FieldReader(bytes, 'NBD_REPLY_TYPE_BLOCK_STATUS');
  if (bytes.byteLength > MAX_BLOCK_STATUS_LENGTH) {
    throw new NbdCodecError('LIMIT', `NBD_REPLY_TYPE_BLOCK_STATUS: ${bytes.byteLength} bytes are too many`);
  }
  if (bytes.byteLength < 12 || bytes.byteLength % 8 !== 4) {
    throw new NbdCodecError('BAD_LENGTH', `NBD_REPLY_TYPE_BLOCK_STATUS: ${bytes.byteLength} bytes, not 4 + 8 n`);
  }
  const contextId = fields.u32();
  // Not field by field: a reply may have a million of them.
  const view = new DataView(bytes.buffer, bytes.byteOffset + 4, bytes.byteLength - 4);
  const extents = new Uint32Array(view.byteLength / 4);
  for (let i = 0; i < extents.length; i += 2) {
    const length = view.getUint32(4 * i);
    if (length === 0) throw new NbdCodecError('BAD_VALUE', 'NBD_REPLY_TYPE_BLOCK_STATUS: an extent of no bytes');
    extents[i] = length;
    extents[i + 1] = view.getUint32(4 * i + 4);
  }
  return { contextId, extents };
}

/** The payload of NBD_REPLY_TYPE_BLOCK_STATUS: length and flags of each extent by turns. */
export function encodeBlockStatus(status: { contextId: number; extents: ArrayLike<number> }): Uint8Array<ArrayBuffer> {
  const fields = new FieldWriter(4 + 4 * status.extents.length).u32(status.contextId);
  for (const value of Array.from(status.extents)) fields.u32(value);
  return fields.bytes;
}

// NBD_REPLY_TYPE_BLOCK_STATUS_EXT (extended headers only, branch extension-ext-header):
//
//   32 bits  context id
//   32 bits  number of extents, not 0
//   for each extent:  64 bits  length, bytes, not 0
//                     64 bits  status flags

/** Bytes of the longest extended block-status payload that a server should send: 2^20 extents. */
export const MAX_BLOCK_STATUS_EXT_LENGTH = 8 + 16 * NBD_MAX_STATUS_EXTENTS;

/** Extents with 64-bit fields. */
export interface BlockStatusExt {
  contextId: number;
  /** Length and flags of each extent by turns, each exact: a field past 2^53 - 1 is refused. */
  extents: Float64Array;
}

/** @throws NbdCodecError `BAD_LENGTH`, `LIMIT`, `BAD_VALUE` for an extent of no bytes, `OUT_OF_RANGE` past 2^53 - 1 */
export function decodeBlockStatusExt(bytes: Uint8Array): BlockStatusExt {
  const what = 'NBD_REPLY_TYPE_BLOCK_STATUS_EXT';
  const { byteLength } = bytes;
  if (byteLength > MAX_BLOCK_STATUS_EXT_LENGTH) {
    throw new NbdCodecError('LIMIT', `${what}: ${byteLength} bytes are too many`);
  }
  if (byteLength < 24 || byteLength % 16 !== 8) {
    throw new NbdCodecError('BAD_LENGTH', `${what}: ${byteLength} bytes, not 8 + 16 n`);
  }
  const fields = new FieldReader(bytes, what);
  const contextId = fields.u32();
  const count = fields.u32();
  if (count * 16 !== fields.left)
    throw new NbdCodecError('BAD_LENGTH', `${what}: ${count} extents in ${byteLength} bytes`);
  const extents = new Float64Array(2 * count);
  for (let i = 0; i < extents.length; i += 2) {
    const length = fields.size();
    if (length === 0) throw new NbdCodecError('BAD_VALUE', `${what}: an extent of no bytes`);
    extents[i] = length;
    extents[i + 1] = fields.size();
  }
  return { contextId, extents };
}

/** The payload of NBD_REPLY_TYPE_BLOCK_STATUS_EXT: length and flags of each extent by turns. */
export function encodeBlockStatusExt(status: {
  contextId: number;
  extents: ArrayLike<number>;
}): Uint8Array<ArrayBuffer> {
  const { contextId, extents } = status;
  const fields = new FieldWriter(8 + 8 * extents.length).u32(contextId).u32(extents.length / 2);
  for (const value of Array.from(extents)) fields.size(value);
  return fields.bytes;
}

// NBD_REPLY_TYPE_ERROR, and every other type with bit 15 set:
//
//   32 bits  error, not 0
//   16 bits  length of the message
//            message for people
//
// NBD_REPLY_TYPE_ERROR_OFFSET goes on with 64 bits of absolute offset; fields of an unknown error type are passed over.

/** Bytes of the longest error payload taken: message, offset and some room for fields of unknown error types. */
export const MAX_ERROR_LENGTH = 6 + NBD_MAX_STRING + 64;

/** Why a request failed. */
export interface ErrorChunk {
  /** An NBD error value, never 0; `errnoName` gives its name. */
  error: number;
  /** Empty where the server sent none. */
  message: string;
  /** NBD_REPLY_TYPE_ERROR_OFFSET only: the absolute offset at which the request failed. */
  offset?: number;
}

/** @param type the chunk's type; one with bit 15 that is not known is read like NBD_REPLY_TYPE_ERROR */
export function decodeErrorChunk(type: number, bytes: Uint8Array): ErrorChunk {
  const fields = new FieldReader(bytes, 'NBD_REPLY_TYPE_ERROR');
  const error = fields.u32();
  if (error === 0) throw new NbdCodecError('BAD_VALUE', 'NBD_REPLY_TYPE_ERROR: an error chunk without an error');
  const message = fields.text(fields.u16());
  if (type !== NBD_REPLY_TYPE_ERROR_OFFSET) return { error, message };
  const offset = fields.size();
  fields.end();
  return { error, message, offset };
}

/** With an offset it is the payload of NBD_REPLY_TYPE_ERROR_OFFSET, without one of NBD_REPLY_TYPE_ERROR. */
export function encodeErrorChunk(chunk: ErrorChunk): Uint8Array<ArrayBuffer> {
  const message = encodeString(chunk.message);
  const tail = chunk.offset === undefined ? 0 : 8;
  const fields = new FieldWriter(6 + message.byteLength + tail).u32(chunk.error).u16(message.byteLength).raw(message);
  if (chunk.offset !== undefined) fields.size(chunk.offset);
  return fields.bytes;
}
