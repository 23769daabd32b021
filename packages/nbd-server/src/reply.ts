import {
  encodeBlockStatus,
  encodeBlockStatusExt,
  encodeChunkHeader,
  encodeDataOffset,
  encodeErrorChunk,
  encodeExtendedChunkHeader,
  encodeSimpleReply,
  NBD_REPLY_FLAG_DONE,
  NBD_REPLY_TYPE_BLOCK_STATUS,
  NBD_REPLY_TYPE_BLOCK_STATUS_EXT,
  NBD_REPLY_TYPE_ERROR,
  NBD_REPLY_TYPE_ERROR_OFFSET,
  NBD_REPLY_TYPE_NONE,
  NBD_REPLY_TYPE_OFFSET_DATA,
  OFFSET_DATA_PREFIX_LENGTH,
  type Request,
} from '@virtnbd/nbd-protocol';
import { HEADROOM } from './buffer-pool.ts';
import { ALLOCATION_ID, type Headers } from './session.ts';

/** The bytes of replies in the form that was agreed on ("Simple reply message", "Structured reply chunk message"). */
export class ReplyEncoder {
  readonly #headers: Headers;

  constructor(headers: Headers) {
    this.#headers = headers;
  }

  /** The answer to a request that changes something, or flushes. */
  done(request: Request): Uint8Array {
    if (this.#headers === 'simple') return encodeSimpleReply({ error: 0, cookie: request.cookie });
    return this.#chunk(request, NBD_REPLY_FLAG_DONE, NBD_REPLY_TYPE_NONE, 0);
  }

  /** @param offset where it failed, in bytes; only for an offset inside the request */
  error(request: Request, error: number, message: string, offset?: number): Uint8Array {
    if (this.#headers === 'simple') return encodeSimpleReply({ error, cookie: request.cookie });
    const payload = encodeErrorChunk({ error, message, ...(offset !== undefined && { offset }) });
    const type = offset === undefined ? NBD_REPLY_TYPE_ERROR : NBD_REPLY_TYPE_ERROR_OFFSET;
    return Buffer.concat([this.#chunk(request, NBD_REPLY_FLAG_DONE, type, payload.byteLength), payload]);
  }

  /**
   * A piece of a read's data, which stands in the buffer behind the headroom: the header goes right before it, and both
   * leave without a copy.
   */
  data(request: Request, piece: { buffer: Buffer; offset: number; length: number }): Uint8Array {
    const { buffer, offset, length } = piece;
    const header = this.#dataHeader(request, offset, length);
    const start = HEADROOM - header.byteLength;
    buffer.set(header, start);
    return buffer.subarray(start, HEADROOM + length);
  }

  /** @param extents length and flags by turns */
  blockStatus(request: Request, extents: readonly number[]): Uint8Array {
    const extended = this.#headers === 'extended';
    const encode = extended ? encodeBlockStatusExt : encodeBlockStatus;
    const type = extended ? NBD_REPLY_TYPE_BLOCK_STATUS_EXT : NBD_REPLY_TYPE_BLOCK_STATUS;
    const payload = encode({ contextId: ALLOCATION_ID, extents });
    return Buffer.concat([this.#chunk(request, NBD_REPLY_FLAG_DONE, type, payload.byteLength), payload]);
  }

  #dataHeader(request: Request, offset: number, length: number): Uint8Array {
    if (this.#headers === 'simple') {
      const first = offset === request.offset;
      return first ? encodeSimpleReply({ error: 0, cookie: request.cookie }) : new Uint8Array(0);
    }
    const last = offset + length === request.offset + request.length;
    const bytes = OFFSET_DATA_PREFIX_LENGTH + length;
    const chunk = this.#chunk(request, last ? NBD_REPLY_FLAG_DONE : 0, NBD_REPLY_TYPE_OFFSET_DATA, bytes);
    return Buffer.concat([chunk, encodeDataOffset(offset)]);
  }

  #chunk({ cookie, offset }: Request, flags: number, type: number, length: number): Uint8Array {
    if (this.#headers !== 'extended') return encodeChunkHeader({ flags, type, cookie, length });
    // The request's offset comes back; one that no number holds was refused, and any value will do.
    return encodeExtendedChunkHeader({ flags, type, cookie, length, offset: Number.isFinite(offset) ? offset : 0 });
  }
}
