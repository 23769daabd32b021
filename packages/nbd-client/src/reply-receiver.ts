import {
  type ChunkHeader,
  decodeBlockStatus,
  decodeBlockStatusExt,
  decodeChunkHeader,
  decodeDataOffset,
  decodeErrorChunk,
  decodeExtendedChunkHeader,
  decodeHole,
  decodeSimpleReply,
  EXTENDED_CHUNK_HEADER_LENGTH,
  isErrorChunk,
  MAX_BLOCK_STATUS_EXT_LENGTH,
  MAX_BLOCK_STATUS_LENGTH,
  MAX_ERROR_LENGTH,
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_READ,
  NBD_REPLY_FLAG_DONE,
  NBD_REPLY_TYPE_BLOCK_STATUS,
  NBD_REPLY_TYPE_BLOCK_STATUS_EXT,
  NBD_REPLY_TYPE_NONE,
  NBD_REPLY_TYPE_OFFSET_DATA,
  NBD_REPLY_TYPE_OFFSET_HOLE,
  OFFSET_DATA_PREFIX_LENGTH,
  OFFSET_HOLE_LENGTH,
  replyHeaderLength,
  SIMPLE_REPLY_LENGTH,
} from '@virtnbd/nbd-protocol';
import { NbdError } from './errors.ts';
import type { Headers } from './handshake.ts';
import type { Extents, WireRequest } from './operation.ts';
import { bound, checkComplete, checkStatus, cover } from './reply-checks.ts';
import { violation } from './request-errors.ts';

/** What the receiver needs of the connection. */
export interface ReplyHandler {
  /** The form of replies that was agreed on. */
  readonly headers: Headers;
  /** The granted meta contexts: names by id. */
  readonly contexts: ReadonlyMap<number, string>;
  find(cookie: bigint): WireRequest | undefined;
  /** A request's reply is whole, and in order: complete data, or an error. */
  finish(request: WireRequest): void;
}

/** Less is copied sooner than received by itself, in bytes. */
const LEAST_IN_PLACE = 8 << 10;
/** Error chunks in one reply: a server that sends more has no end in mind. */
const MAX_ERROR_CHUNKS = 256;

/**
 * Takes the server's bytes as they come, split anywhere. Headers are gathered in a small scratch; a read's payload goes
 * straight into its target. Whatever breaks the protocol throws, and then the connection is of no more use.
 */
export class ReplyReceiver {
  readonly #handler: ReplyHandler;
  readonly #scratch = new Uint8Array(EXTENDED_CHUNK_HEADER_LENGTH);
  /** What is being gathered, how much of it is there, how much is needed, and what then happens. */
  #gathered: Uint8Array = this.#scratch;
  #have = 0;
  #need = SIMPLE_REPLY_LENGTH;
  #then: (bytes: Uint8Array) => void = this.#header;
  /** The reply that the bytes belong to, and the payload that is being copied. */
  #request: WireRequest | undefined;
  #done = false;
  #payloadAt = 0;
  #payloadLeft = 0;

  constructor(handler: ReplyHandler) {
    this.#handler = handler;
  }

  /** @throws NbdError `PROTOCOL`, or NbdCodecError */
  push(bytes: Uint8Array): void {
    let position = 0;
    while (position < bytes.byteLength) {
      const available = bytes.byteLength - position;
      if (this.#payloadLeft > 0) {
        const length = Math.min(available, this.#payloadLeft);
        this.#copy(bytes.subarray(position, position + length));
        position += length;
      } else {
        const length = Math.min(available, this.#need - this.#have);
        this.#gathered.set(bytes.subarray(position, position + length), this.#have);
        this.#have += length;
        position += length;
        if (this.#have === this.#need) this.#then(this.#gathered.subarray(0, this.#need));
      }
    }
  }

  /** Where the socket may put the next bytes itself; undefined where they are to be pushed. */
  place(): Uint8Array | undefined {
    const target = this.#request?.operation.target;
    if (target?.inPlace !== true) return undefined;
    const view = target.view(this.#payloadAt).subarray(0, this.#payloadLeft);
    return view.byteLength < LEAST_IN_PLACE ? undefined : view;
  }

  /** So many bytes were put where {@link place} said. */
  placed(length: number): void {
    this.#advance(length);
  }

  #copy(bytes: Uint8Array): void {
    this.#request?.operation.target?.set(bytes, this.#payloadAt);
    this.#advance(bytes.byteLength);
  }

  #advance(length: number): void {
    this.#payloadAt += length;
    this.#payloadLeft -= length;
    if (this.#payloadLeft === 0) this.#endOfMessage();
  }

  #gather(length: number, then: (bytes: Uint8Array) => void): void {
    this.#gathered = length <= this.#scratch.byteLength ? this.#scratch : new Uint8Array(length);
    this.#have = 0;
    this.#need = length;
    this.#then = then;
  }

  /** All headers have at least 16 bytes; those of chunks go on for some more. */
  #header(bytes: Uint8Array): void {
    const length = replyHeaderLength(bytes);
    if (this.#have < length) this.#need = length;
    else if (length === SIMPLE_REPLY_LENGTH) this.#simpleReply(bytes);
    else if (length === EXTENDED_CHUNK_HEADER_LENGTH) this.#extendedChunk(bytes);
    else this.#structuredChunk(bytes);
  }

  #simpleReply(bytes: Uint8Array): void {
    const { cookie, error } = decodeSimpleReply(bytes);
    const request = this.#find(cookie);
    this.#done = true;
    if (request.chunked) throw violation(request, 'a simple reply after structured chunks');
    if (this.#handler.headers === 'extended') throw violation(request, 'a simple reply in place of an extended one');
    if (error !== 0) {
      request.error = { error, message: '' };
      this.#endOfMessage();
      return;
    }
    const { command } = request.operation;
    if (command === NBD_CMD_BLOCK_STATUS) throw violation(request, 'a simple reply, which has no extents');
    if (command !== NBD_CMD_READ) {
      this.#endOfMessage();
      return;
    }
    if (this.#handler.headers !== 'simple') throw violation(request, 'a simple reply in place of a structured one');
    request.coverage.add(0, request.length);
    this.#payloadAt = request.start;
    this.#payloadLeft = request.length;
  }

  #structuredChunk(bytes: Uint8Array): void {
    const header = decodeChunkHeader(bytes);
    const request = this.#find(header.cookie);
    if (this.#handler.headers !== 'structured') throw violation(request, 'a structured reply, which was not agreed on');
    this.#chunk(request, header);
  }

  #extendedChunk(bytes: Uint8Array): void {
    const header = decodeExtendedChunkHeader(bytes);
    const request = this.#find(header.cookie);
    if (this.#handler.headers !== 'extended') throw violation(request, 'an extended reply, which was not agreed on');
    if (header.offset !== request.offset) throw violation(request, `a reply for offset ${header.offset}`);
    this.#chunk(request, header);
  }

  #chunk(request: WireRequest, header: ChunkHeader): void {
    request.chunked = true;
    this.#done = (header.flags & NBD_REPLY_FLAG_DONE) !== 0;
    if (isErrorChunk(header.type)) {
      request.errorChunks++;
      if (request.errorChunks > MAX_ERROR_CHUNKS) throw violation(request, 'errors without an end');
      bound(request, header.length, 6, MAX_ERROR_LENGTH);
      this.#gather(header.length, (bytes) => this.#error(request, header.type, bytes));
    } else if (header.type === NBD_REPLY_TYPE_NONE) {
      bound(request, header.length, 0, 0);
      if (!this.#done) throw violation(request, 'an empty chunk that is not the last');
      this.#endOfMessage();
    } else {
      this.#content(request, header.type, header.length);
    }
  }

  #content(request: WireRequest, type: number, length: number): void {
    const { command } = request.operation;
    if (type === NBD_REPLY_TYPE_OFFSET_DATA && command === NBD_CMD_READ) {
      bound(request, length, OFFSET_DATA_PREFIX_LENGTH + 1, OFFSET_DATA_PREFIX_LENGTH + request.length);
      this.#gather(OFFSET_DATA_PREFIX_LENGTH, (bytes) =>
        this.#data(request, bytes, length - OFFSET_DATA_PREFIX_LENGTH),
      );
    } else if (type === NBD_REPLY_TYPE_OFFSET_HOLE && command === NBD_CMD_READ) {
      bound(request, length, OFFSET_HOLE_LENGTH, OFFSET_HOLE_LENGTH);
      this.#gather(OFFSET_HOLE_LENGTH, (bytes) => this.#hole(request, bytes));
    } else if (type === this.#statusType && command === NBD_CMD_BLOCK_STATUS) {
      const wide = type === NBD_REPLY_TYPE_BLOCK_STATUS_EXT;
      bound(request, length, 12, wide ? MAX_BLOCK_STATUS_EXT_LENGTH : MAX_BLOCK_STATUS_LENGTH);
      this.#gather(length, (payload) => {
        const { contextId, extents } = wide ? decodeBlockStatusExt(payload) : decodeBlockStatus(payload);
        this.#blockStatus(request, contextId, extents);
      });
    } else {
      throw violation(request, `a chunk of type ${type}`);
    }
  }

  /** "The extended reply chunk MUST be used" with extended headers, and must not without them. */
  get #statusType(): number {
    return this.#handler.headers === 'extended' ? NBD_REPLY_TYPE_BLOCK_STATUS_EXT : NBD_REPLY_TYPE_BLOCK_STATUS;
  }

  #data(request: WireRequest, bytes: Uint8Array, length: number): void {
    this.#payloadAt = cover(request, decodeDataOffset(bytes), length);
    this.#payloadLeft = length;
  }

  #hole(request: WireRequest, bytes: Uint8Array): void {
    const hole = decodeHole(bytes);
    const at = cover(request, hole.offset, hole.length);
    request.operation.target?.zero(at, at + hole.length);
    this.#endOfMessage();
  }

  #blockStatus(request: WireRequest, contextId: number, extents: Extents): void {
    checkStatus(request, this.#handler.contexts.get(contextId), contextId, extents);
    request.status ??= new Map();
    request.status.set(contextId, extents);
    this.#endOfMessage();
  }

  #error(request: WireRequest, type: number, bytes: Uint8Array): void {
    const error = decodeErrorChunk(type, bytes);
    const { offset } = error;
    if (offset !== undefined && (offset < request.offset || offset >= request.offset + request.length)) {
      throw violation(request, `an error at ${offset}, outside the request`);
    }
    request.error ??= error;
    this.#endOfMessage();
  }

  /** A simple reply or a chunk is over; the next header follows. */
  #endOfMessage(): void {
    const request = this.#request;
    this.#request = undefined;
    this.#gather(SIMPLE_REPLY_LENGTH, this.#header);
    if (request === undefined || !this.#done) return;
    if (request.error === undefined) checkComplete(request, this.#handler.contexts.size);
    this.#handler.finish(request);
  }

  #find(cookie: bigint): WireRequest {
    const request = this.#handler.find(cookie);
    if (request === undefined) {
      throw new NbdError('PROTOCOL', `the NBD server answered a request that is not in flight (cookie ${cookie})`);
    }
    this.#request = request;
    return request;
  }
}
