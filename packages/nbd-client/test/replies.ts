import {
  encodeBlockStatus,
  encodeChunkHeader,
  encodeDataOffset,
  encodeErrorChunk,
  encodeHole,
  encodeSimpleReply,
  NBD_REPLY_FLAG_DONE,
  NBD_REPLY_TYPE_BLOCK_STATUS,
  NBD_REPLY_TYPE_ERROR,
  NBD_REPLY_TYPE_ERROR_OFFSET,
  NBD_REPLY_TYPE_NONE,
  NBD_REPLY_TYPE_OFFSET_DATA,
  NBD_REPLY_TYPE_OFFSET_HOLE,
} from '@virtnbd/nbd-protocol';

/** Bytes that a server sends in answer to the request of a cookie. */
export function repliesTo({ cookie }: { cookie: bigint }) {
  const chunk = (type: number, payload: Uint8Array, done: boolean) =>
    Buffer.concat([
      encodeChunkHeader({ flags: done ? NBD_REPLY_FLAG_DONE : 0, type, cookie, length: payload.byteLength }),
      payload,
    ]);
  return {
    chunk,
    simple: (error = 0, data: Uint8Array = new Uint8Array(0)) =>
      Buffer.concat([encodeSimpleReply({ error, cookie }), data]),
    done: () => chunk(NBD_REPLY_TYPE_NONE, new Uint8Array(0), true),
    data: (offset: number, data: Uint8Array, done = false) =>
      chunk(NBD_REPLY_TYPE_OFFSET_DATA, Buffer.concat([encodeDataOffset(offset), data]), done),
    hole: (offset: number, length: number, done = false) =>
      chunk(NBD_REPLY_TYPE_OFFSET_HOLE, encodeHole({ offset, length }), done),
    status: (contextId: number, extents: ArrayLike<number>, done = false) =>
      chunk(NBD_REPLY_TYPE_BLOCK_STATUS, encodeBlockStatus({ contextId, extents }), done),
    error: (error: number, message: string, offset?: number, done = true) =>
      chunk(
        offset === undefined ? NBD_REPLY_TYPE_ERROR : NBD_REPLY_TYPE_ERROR_OFFSET,
        encodeErrorChunk({ error, message, ...(offset === undefined ? {} : { offset }) }),
        done,
      ),
  };
}
