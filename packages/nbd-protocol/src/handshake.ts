import { NBD_CLISERV_MAGIC, NBD_FLAG_FIXED_NEWSTYLE, NBD_MAGIC, NBD_OPTS_MAGIC } from './constants.ts';
import { NbdCodecError } from './errors.ts';
import { FieldReader, FieldWriter } from './fields.ts';

// proto.md, "Newstyle negotiation". The server speaks first:
//
//   offset  0  64 bits  NBDMAGIC
//           8  64 bits  IHAVEOPT
//          16  16 bits  handshake flags
//
// and the client answers with 32 bits of client flags.

/** Bytes of the server's greeting. */
export const GREETING_LENGTH = 18;
/** Bytes of the client's flags. */
export const CLIENT_FLAGS_LENGTH = 4;

/** @returns the handshake flags; `BAD_MAGIC` where it is no NBD server, or an oldstyle one */
export function decodeGreeting(bytes: Uint8Array): number {
  const fields = new FieldReader(bytes, 'server greeting');
  fields.magic(NBD_MAGIC);
  const version = fields.u64();
  if (version === NBD_CLISERV_MAGIC) {
    throw new NbdCodecError('BAD_MAGIC', 'server greeting: the server speaks oldstyle NBD, which is not supported');
  }
  if (version !== NBD_OPTS_MAGIC) {
    throw new NbdCodecError('BAD_MAGIC', `server greeting: unknown protocol version 0x${version.toString(16)}`);
  }
  return fields.u16();
}

/** The greeting of a newstyle server. */
export function encodeGreeting(handshakeFlags: number = NBD_FLAG_FIXED_NEWSTYLE): Uint8Array<ArrayBuffer> {
  return new FieldWriter(GREETING_LENGTH).u64(NBD_MAGIC).u64(NBD_OPTS_MAGIC).u16(handshakeFlags).bytes;
}

/** @throws NbdCodecError `TRUNCATED` */
export function decodeClientFlags(bytes: Uint8Array): number {
  return new FieldReader(bytes, 'client flags').u32();
}

/** The answer to the greeting: NBD_FLAG_C_* flags. */
export function encodeClientFlags(flags: number): Uint8Array<ArrayBuffer> {
  return new FieldWriter(CLIENT_FLAGS_LENGTH).u32(flags).bytes;
}

// The answer to NBD_OPT_EXPORT_NAME, which has no option reply header:
//
//   offset  0  64 bits  size of the export, bytes
//           8  16 bits  transmission flags
//          10  124 bytes of zeroes, unless NBD_FLAG_C_NO_ZEROES was agreed on

/** Bytes of the answer to NBD_OPT_EXPORT_NAME. */
export function exportNameReplyLength(noZeroes: boolean): number {
  return noZeroes ? 10 : 134;
}

/** Size in bytes and transmission flags of an export. */
export interface ExportSize {
  size: number;
  flags: number;
}

/** @throws NbdCodecError `TRUNCATED`, `OUT_OF_RANGE` for a size past 2^53 - 1 */
export function decodeExportNameReply(bytes: Uint8Array): ExportSize {
  const fields = new FieldReader(bytes, 'answer to NBD_OPT_EXPORT_NAME');
  return { size: fields.size(), flags: fields.u16() };
}

/** The answer to NBD_OPT_EXPORT_NAME. */
export function encodeExportNameReply(reply: ExportSize, noZeroes: boolean): Uint8Array<ArrayBuffer> {
  return new FieldWriter(exportNameReplyLength(noZeroes)).size(reply.size).u16(reply.flags).bytes;
}
