import { NBD_EXTENDED_REQUEST_MAGIC, NBD_REQUEST_MAGIC } from './constants.ts';
import { FieldReader, FieldWriter } from './fields.ts';

// proto.md, "Request message":
//
//   offset  0  32 bits  0x25609513
//           4  16 bits  command flags
//           6  16 bits  command
//           8  64 bits  cookie
//          16  64 bits  offset, bytes
//          24  32 bits  length, bytes
//          28  NBD_CMD_WRITE only: length bytes of data

/** Bytes of a request's header. */
export const REQUEST_LENGTH = 28;

/** A request of either form. */
export interface Request {
  /** NBD_CMD_* */
  command: number;
  /** NBD_CMD_FLAG_* */
  flags: number;
  /** Opaque to the server, which sends it back in the reply. */
  cookie: bigint;
  /** Bytes into the export. */
  offset: number;
  /** Bytes: at most 2^32 - 1 in the compact form. */
  length: number;
}

/** @throws NbdCodecError `OUT_OF_RANGE` for a length that does not fit 32 bits */
export function encodeRequest(request: Request): Uint8Array<ArrayBuffer> {
  return new FieldWriter(REQUEST_LENGTH)
    .u32(NBD_REQUEST_MAGIC)
    .u16(request.flags)
    .u16(request.command)
    .u64(request.cookie)
    .size(request.offset)
    .u32(request.length).bytes;
}

/** @throws NbdCodecError `TRUNCATED`, `BAD_MAGIC`, `OUT_OF_RANGE` for an offset past 2^53 - 1 */
export function decodeRequest(bytes: Uint8Array): Request {
  const fields = new FieldReader(bytes, 'request');
  fields.magic(NBD_REQUEST_MAGIC);
  const flags = fields.u16();
  const command = fields.u16();
  return { command, flags, cookie: fields.u64(), offset: fields.size(), length: fields.u32() };
}

// Extension "extended headers" (branch extension-ext-header of the specification), "Extended request":
//
//   offset  0  32 bits  0x21e41c71
//           4  16 bits  command flags
//           6  16 bits  command
//           8  64 bits  cookie
//          16  64 bits  offset, bytes
//          24  64 bits  length, bytes: of the payload with NBD_CMD_FLAG_PAYLOAD_LEN, otherwise of the effect
//          32  with NBD_CMD_FLAG_PAYLOAD_LEN only: length bytes of payload

/** Bytes of an extended request's header. */
export const EXTENDED_REQUEST_LENGTH = 32;

/** An extended request's header. NBD_CMD_WRITE must carry NBD_CMD_FLAG_PAYLOAD_LEN. */
export function encodeExtendedRequest(request: Request): Uint8Array<ArrayBuffer> {
  return new FieldWriter(EXTENDED_REQUEST_LENGTH)
    .u32(NBD_EXTENDED_REQUEST_MAGIC)
    .u16(request.flags)
    .u16(request.command)
    .u64(request.cookie)
    .size(request.offset)
    .size(request.length).bytes;
}

/** @throws NbdCodecError `TRUNCATED`, `BAD_MAGIC`, `OUT_OF_RANGE` for an offset or a length past 2^53 - 1 */
export function decodeExtendedRequest(bytes: Uint8Array): Request {
  const fields = new FieldReader(bytes, 'extended request');
  fields.magic(NBD_EXTENDED_REQUEST_MAGIC);
  const flags = fields.u16();
  const command = fields.u16();
  return { command, flags, cookie: fields.u64(), offset: fields.size(), length: fields.size() };
}
