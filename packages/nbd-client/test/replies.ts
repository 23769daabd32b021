import {
  encodeBlockStatus,
  encodeBlockStatusExt,
  encodeChunkHeader,
  encodeDataOffset,
  encodeErrorChunk,
  encodeExtendedChunkHeader,
  encodeHole,
  encodeSimpleReply,
  NBD_REPLY_FLAG_DONE,
  NBD_REPLY_TYPE_BLOCK_STATUS,
  NBD_REPLY_TYPE_BLOCK_STATUS_EXT,
  NBD_REPLY_TYPE_ERROR,
  NBD_REPLY_TYPE_ERROR_OFFSET,
  NBD_REPLY_TYPE_NONE,
  NBD_REPLY_TYPE_OFFSET_DATA,
  NBD_REPLY_TYPE_OFFSET_HOLE,
} from '@virtnbd/nbd-protocol';

/** Bytes that a server sends in answer to the request of a cookie. */
export function repliesTo(
  { cookie, offset = 0 }: { cookie: bigint; offset?: number },
  { extended = false }: { extended?: boolean } = {},
) {
  const chunk = (type: number, payload: Uint8Array, done: boolean) => {
    const header = { flags: done ? NBD_REPLY_FLAG_DONE : 0, type, cookie, offset, length: payload.byteLength };
    return Buffer.concat([extended ? encodeExtendedChunkHeader(header) : encodeChunkHeader(header), payload]);
  };
  return {
    chunk,
    simple: (error = 0, data: Uint8Array = new Uint8Array(0)) =>
      Buffer.concat([encodeSimpleReply({ error, cookie }), data]),
    done: () => chunk(NBD_REPLY_TYPE_NONE, new Uint8Array(0), true),
    data: (at: number, data: Uint8Array, done = false) =>
      chunk(NBD_REPLY_TYPE_OFFSET_DATA, Buffer.concat([encodeDataOffset(at), data]), done),
    hole: (at: number, length: number, done = false) =>
      chunk(NBD_REPLY_TYPE_OFFSET_HOLE, encodeHole({ offset: at, length }), done),
    status: (contextId: number, extents: ArrayLike<number>, done = false) =>
      extended
        ? chunk(NBD_REPLY_TYPE_BLOCK_STATUS_EXT, encodeBlockStatusExt({ contextId, extents }), done)
        : chunk(NBD_REPLY_TYPE_BLOCK_STATUS, encodeBlockStatus({ contextId, extents }), done),
    error: (error: number, message: string, at?: number, done = true) =>
      chunk(
        at === undefined ? NBD_REPLY_TYPE_ERROR : NBD_REPLY_TYPE_ERROR_OFFSET,
        encodeErrorChunk({ error, message, ...(at === undefined ? {} : { offset: at }) }),
        done,
      ),
  };
}
