import { NBD_REQUEST_MAGIC } from './constants.ts';
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

export interface Request {
  command: number;
  flags: number;
  /** Opaque to the server, which sends it back in the reply. */
  cookie: bigint;
  offset: number;
  length: number;
}

export function encodeRequest(request: Request): Uint8Array<ArrayBuffer> {
  return new FieldWriter(REQUEST_LENGTH)
    .u32(NBD_REQUEST_MAGIC)
    .u16(request.flags)
    .u16(request.command)
    .u64(request.cookie)
    .size(request.offset)
    .u32(request.length).bytes;
}

export function decodeRequest(bytes: Uint8Array): Request {
  const fields = new FieldReader(bytes, 'request');
  fields.magic(NBD_REQUEST_MAGIC);
  const flags = fields.u16();
  const command = fields.u16();
  return { command, flags, cookie: fields.u64(), offset: fields.size(), length: fields.u32() };
}
