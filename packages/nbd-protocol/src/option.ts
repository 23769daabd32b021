import { NBD_OPTS_MAGIC } from './constants.ts';
import { NbdCodecError } from './errors.ts';
import { encodeString, FieldReader, FieldWriter } from './fields.ts';

// proto.md, "Newstyle negotiation". What the client sends for each option:
//
//   offset  0  64 bits  IHAVEOPT
//           8  32 bits  option
//          12  32 bits  length of the data
//          16  data

/** Bytes of an option's header. */
export const OPTION_HEADER_LENGTH = 16;

/** What stands before the data of an option. */
export interface OptionHeader {
  option: number;
  /** Bytes of data that follow. The caller bounds it before it allocates. */
  length: number;
}

/** @throws NbdCodecError `TRUNCATED`, `BAD_MAGIC` */
export function decodeOptionHeader(bytes: Uint8Array): OptionHeader {
  const fields = new FieldReader(bytes, 'option');
  fields.magic(NBD_OPTS_MAGIC);
  return { option: fields.u32(), length: fields.u32() };
}

/** An option with its data. NBD_OPT_EXPORT_NAME's data is {@link encodeExportName}. */
export function encodeOption(option: number, data: Uint8Array = new Uint8Array(0)): Uint8Array<ArrayBuffer> {
  return new FieldWriter(OPTION_HEADER_LENGTH + data.byteLength)
    .u64(NBD_OPTS_MAGIC)
    .u32(option)
    .u32(data.byteLength)
    .raw(data).bytes;
}

/** Data of NBD_OPT_EXPORT_NAME: the name alone, its length is the option's. */
export function encodeExportName(exportName: string): Uint8Array {
  return encodeString(exportName);
}

/** @throws NbdCodecError `LIMIT`, `BAD_VALUE` for a name that is not UTF-8 */
export function decodeExportName(data: Uint8Array): string {
  return new FieldReader(data, 'NBD_OPT_EXPORT_NAME').name(data.byteLength);
}

// Data of NBD_OPT_INFO and NBD_OPT_GO:
//
//   32 bits  length of the name
//            name
//   16 bits  number of information requests
//   16 bits  for each: an NBD_INFO_* kind

/** What NBD_OPT_INFO and NBD_OPT_GO ask for. */
export interface InfoRequest {
  exportName: string;
  /** The NBD_INFO_* kinds that the client wants; NBD_INFO_EXPORT comes in any case. */
  kinds: readonly number[];
}

/** @throws NbdCodecError `LIMIT` for a name of more than 4096 bytes */
export function encodeInfoRequest(request: InfoRequest): Uint8Array<ArrayBuffer> {
  const name = encodeString(request.exportName);
  const fields = new FieldWriter(6 + name.byteLength + 2 * request.kinds.length);
  fields.u32(name.byteLength).raw(name).u16(request.kinds.length);
  for (const kind of request.kinds) fields.u16(kind);
  return fields.bytes;
}

/** @throws NbdCodecError `TRUNCATED`, `LIMIT`, `BAD_LENGTH`, `BAD_VALUE` */
export function decodeInfoRequest(data: Uint8Array): InfoRequest {
  const fields = new FieldReader(data, 'NBD_OPT_GO');
  const exportName = fields.name(fields.u32());
  const count = fields.u16();
  if (fields.left !== 2 * count) {
    throw new NbdCodecError('BAD_LENGTH', `NBD_OPT_GO: ${count} information requests in ${fields.left} bytes`);
  }
  return { exportName, kinds: Array.from({ length: count }, () => fields.u16()) };
}

// Data of NBD_OPT_LIST_META_CONTEXT and NBD_OPT_SET_META_CONTEXT:
//
//   32 bits  length of the export's name
//            name
//   32 bits  number of queries
//   for each:  32 bits  length of the query
//                       query

/** What NBD_OPT_LIST_META_CONTEXT and NBD_OPT_SET_META_CONTEXT ask for. */
export interface MetaContextRequest {
  exportName: string;
  /** Such as `base:allocation` or `qemu:dirty-bitmap:NAME`. None lists all contexts, or selects none. */
  queries: readonly string[];
}

/** @throws NbdCodecError `LIMIT` for a name or a query of more than 4096 bytes */
export function encodeMetaContextRequest(request: MetaContextRequest): Uint8Array<ArrayBuffer> {
  const name = encodeString(request.exportName);
  const queries = request.queries.map(encodeString);
  const length = queries.reduce((sum, query) => sum + 4 + query.byteLength, 8 + name.byteLength);
  const fields = new FieldWriter(length).u32(name.byteLength).raw(name).u32(queries.length);
  for (const query of queries) fields.u32(query.byteLength).raw(query);
  return fields.bytes;
}

/** @throws NbdCodecError `TRUNCATED`, `LIMIT`, `BAD_LENGTH`, `BAD_VALUE` */
export function decodeMetaContextRequest(data: Uint8Array): MetaContextRequest {
  const fields = new FieldReader(data, 'NBD_OPT_SET_META_CONTEXT');
  const exportName = fields.name(fields.u32());
  const count = fields.u32();
  // Each query takes four bytes at least, so the count is checked before anything of that size is made.
  if (count * 4 > fields.left) {
    throw new NbdCodecError('BAD_LENGTH', `NBD_OPT_SET_META_CONTEXT: ${count} queries in ${fields.left} bytes`);
  }
  const queries = Array.from({ length: count }, () => fields.name(fields.u32()));
  fields.end();
  return { exportName, queries };
}
