import {
  NBD_INFO_BLOCK_SIZE,
  NBD_INFO_DESCRIPTION,
  NBD_INFO_EXPORT,
  NBD_INFO_NAME,
  NBD_MAX_MINIMUM_BLOCK,
  NBD_REP_FLAG_ERROR,
  NBD_REP_MAGIC,
} from './constants.ts';
import { NbdCodecError } from './errors.ts';
import { encodeString, FieldReader, FieldWriter } from './fields.ts';

// proto.md, "Fixed newstyle negotiation". What the server answers to every option but NBD_OPT_EXPORT_NAME:
//
//   offset  0  64 bits  0x3e889045565a9
//           8  32 bits  the option that this answers
//          12  32 bits  reply type
//          16  32 bits  length of the data
//          20  data

/** Bytes of an option reply's header. */
export const OPTION_REPLY_HEADER_LENGTH = 20;

/** What stands before the data of an option reply. */
export interface OptionReplyHeader {
  option: number;
  type: number;
  /** Bytes of data that follow. The caller bounds it before it allocates. */
  length: number;
}

/** @throws NbdCodecError `TRUNCATED`, `BAD_MAGIC` */
export function decodeOptionReplyHeader(bytes: Uint8Array): OptionReplyHeader {
  const fields = new FieldReader(bytes, 'option reply');
  fields.magic(NBD_REP_MAGIC);
  return { option: fields.u32(), type: fields.u32(), length: fields.u32() };
}

/** An option reply with its data. */
export function encodeOptionReply(
  option: number,
  type: number,
  data: Uint8Array = new Uint8Array(0),
): Uint8Array<ArrayBuffer> {
  return new FieldWriter(OPTION_REPLY_HEADER_LENGTH + data.byteLength)
    .u64(NBD_REP_MAGIC)
    .u32(option)
    .u32(type)
    .u32(data.byteLength)
    .raw(data).bytes;
}

/** Whether a reply type is one of NBD_REP_ERR_*, known or not. */
export function isErrorReply(type: number): boolean {
  return type >= NBD_REP_FLAG_ERROR;
}

/** The server's message in an NBD_REP_ERR_* reply; empty where it sent none. */
export function decodeErrorReply(data: Uint8Array): string {
  return new FieldReader(data, 'option error').text(data.byteLength);
}

/** The data of an NBD_REP_ERR_* reply: the server's message. */
export function encodeErrorReply(message: string): Uint8Array {
  return encodeString(message);
}

// Data of NBD_REP_SERVER:
//
//   32 bits  length of the name
//            name
//            the rest: a description for people

/** One export in the answer to NBD_OPT_LIST. */
export interface ServerReply {
  exportName: string;
  description: string;
}

/** @throws NbdCodecError `TRUNCATED`, `LIMIT`, `BAD_VALUE` for a name that is not UTF-8 */
export function decodeServerReply(data: Uint8Array): ServerReply {
  const fields = new FieldReader(data, 'NBD_REP_SERVER');
  return { exportName: fields.name(fields.u32()), description: fields.text(fields.left) };
}

/** The data of NBD_REP_SERVER. */
export function encodeServerReply(reply: ServerReply): Uint8Array<ArrayBuffer> {
  const name = encodeString(reply.exportName);
  const description = encodeString(reply.description);
  return new FieldWriter(4 + name.byteLength + description.byteLength).u32(name.byteLength).raw(name).raw(description)
    .bytes;
}

// Data of NBD_REP_META_CONTEXT:
//
//   32 bits  context id, meaningless in the answer to NBD_OPT_LIST_META_CONTEXT
//            name

/** A meta context that the server lists or grants. */
export interface MetaContext {
  id: number;
  name: string;
}

/** @throws NbdCodecError `TRUNCATED`, `LIMIT`, `BAD_VALUE` for a name that is not UTF-8 */
export function decodeMetaContext(data: Uint8Array): MetaContext {
  const fields = new FieldReader(data, 'NBD_REP_META_CONTEXT');
  return { id: fields.u32(), name: fields.name(fields.left) };
}

/** The data of NBD_REP_META_CONTEXT. */
export function encodeMetaContext(context: MetaContext): Uint8Array<ArrayBuffer> {
  const name = encodeString(context.name);
  return new FieldWriter(4 + name.byteLength).u32(context.id).raw(name).bytes;
}

// Data of NBD_REP_INFO: 16 bits of NBD_INFO_* kind, then
//
//   NBD_INFO_EXPORT       64 bits  size, bytes;  16 bits  transmission flags
//   NBD_INFO_NAME         the export's canonical name
//   NBD_INFO_DESCRIPTION  text for people
//   NBD_INFO_BLOCK_SIZE   32 bits  minimum;  32 bits  preferred;  32 bits  maximum payload

/** "Size constraints": bytes. `minimum` and `preferred` are powers of two, `maximum` bounds a payload. */
export interface BlockSize {
  minimum: number;
  preferred: number;
  maximum: number;
}

/** What the server tells of an export, by kind; sizes in bytes. */
export type Info =
  | { kind: typeof NBD_INFO_EXPORT; size: number; flags: number }
  | { kind: typeof NBD_INFO_NAME; exportName: string }
  | { kind: typeof NBD_INFO_DESCRIPTION; description: string }
  | ({ kind: typeof NBD_INFO_BLOCK_SIZE } & BlockSize);

/** @returns undefined for a kind that is not known: a client must ignore it */
export function decodeInfo(data: Uint8Array): Info | undefined {
  const fields = new FieldReader(data, 'NBD_REP_INFO');
  const info = decodeInfoOfKind(fields.u16(), fields);
  if (info !== undefined) fields.end();
  return info;
}

function decodeInfoOfKind(kind: number, fields: FieldReader): Info | undefined {
  switch (kind) {
    case NBD_INFO_EXPORT:
      return { kind, size: fields.size(), flags: fields.u16() };
    case NBD_INFO_NAME:
      return { kind, exportName: fields.name(fields.left) };
    case NBD_INFO_DESCRIPTION:
      return { kind, description: fields.text(fields.left) };
    case NBD_INFO_BLOCK_SIZE:
      return { kind, ...decodeBlockSize(fields) };
    default:
      return undefined;
  }
}

function decodeBlockSize(fields: FieldReader): BlockSize {
  const minimum = fields.u32();
  const preferred = fields.u32();
  const maximum = fields.u32();
  if (!isPowerOfTwo(minimum) || minimum > NBD_MAX_MINIMUM_BLOCK || !isPowerOfTwo(preferred)) {
    throw new NbdCodecError('BAD_VALUE', `NBD_INFO_BLOCK_SIZE: minimum ${minimum}, preferred ${preferred}`);
  }
  if (preferred < minimum || maximum < minimum) {
    throw new NbdCodecError('BAD_VALUE', `NBD_INFO_BLOCK_SIZE: ${minimum}, ${preferred}, ${maximum} do not ascend`);
  }
  return { minimum, preferred, maximum };
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && (value & (value - 1)) === 0;
}

/** The data of NBD_REP_INFO. */
export function encodeInfo(info: Info): Uint8Array<ArrayBuffer> {
  switch (info.kind) {
    case NBD_INFO_EXPORT:
      return new FieldWriter(12).u16(info.kind).size(info.size).u16(info.flags).bytes;
    case NBD_INFO_NAME:
      return encodeInfoText(info.kind, info.exportName);
    case NBD_INFO_DESCRIPTION:
      return encodeInfoText(info.kind, info.description);
    case NBD_INFO_BLOCK_SIZE:
      return new FieldWriter(14).u16(info.kind).u32(info.minimum).u32(info.preferred).u32(info.maximum).bytes;
  }
}

function encodeInfoText(kind: number, text: string): Uint8Array<ArrayBuffer> {
  const bytes = encodeString(text);
  return new FieldWriter(2 + bytes.byteLength).u16(kind).raw(bytes).bytes;
}
