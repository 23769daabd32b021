import {
  commandName,
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_DISC,
  NBD_CMD_FLAG_FUA,
  NBD_CMD_FLAG_REQ_ONE,
  NBD_CMD_FLUSH,
  NBD_CMD_READ,
  NBD_CMD_TRIM,
  NBD_CMD_WRITE,
  NBD_CMD_WRITE_ZEROES,
  NbdCodecError,
  type Request,
} from '@virtnbd/nbd-protocol';
import { allocation, MAX_EXTENTS } from './allocation.ts';
import type { ConnectionBudget } from './budget.ts';
import { type BufferPool, HEADROOM, sizeClass } from './buffer-pool.ts';
import type { Channel } from './channel.ts';
import { sourceErrno } from './errno.ts';
import { NbdServerError } from './errors.ts';
import { ReplyEncoder } from './reply.ts';
import { checkRequest, PIECE, parseRequest, payloadLength, requestLength } from './request-check.ts';
import type { Session } from './session.ts';
import { Slots } from './slots.ts';

/** Payloads of refused writes are passed over up to here, as much as a request of the compact form can have. */
const MAX_SKIPPED = 2 ** 32;

/** What the transmission phase of one connection needs from around it. */
export interface TransmissionContext {
  readonly budget: ConnectionBudget;
  readonly pool: BufferPool;
  /** Requests that are served at the same time. */
  readonly maxRequests: number;
  /** Aborts when the connection ends. */
  readonly signal: AbortSignal;
  readonly sourceFailed: (request: Request, error: unknown) => void;
  readonly onRequest?: (request: Request, header: Uint8Array) => void;
}

/** Requests and replies of one connection (proto.md, "Transmission"). Replies leave in the order in which they are ready. */
export class Transmission {
  readonly #channel: Channel;
  readonly #session: Session;
  readonly #context: TransmissionContext;
  readonly #reply: ReplyEncoder;
  readonly #slots: Slots;

  constructor(channel: Channel, session: Session, context: TransmissionContext) {
    this.#channel = channel;
    this.#session = session;
    this.#context = context;
    this.#reply = new ReplyEncoder(session.headers);
    this.#slots = new Slots(context.maxRequests);
  }

  /**
   * Serves until the client leaves or the channel ends; requests may still be under way then: see {@link idle}.
   *
   * @throws NbdServerError `PROTOCOL` where the client's bytes are no requests
   */
  async run(): Promise<void> {
    const length = requestLength(this.#session);
    for (;;) {
      if (this.#slots.full) await this.#slots.free();
      if (!this.#channel.has(length) && !(await this.#channel.wait(length))) return;
      const header = this.#channel.take(length);
      const request = this.#parse(header);
      this.#context.onRequest?.(request, header);
      if (request.command === NBD_CMD_DISC) return;
      if (!(await this.#accept(request))) return;
    }
  }

  /** Resolves when no request is under way. */
  idle(): Promise<void> {
    return this.#slots.idle();
  }

  #parse(header: Buffer): Request {
    try {
      return parseRequest(header, this.#session);
    } catch (cause) {
      if (!(cause instanceof NbdCodecError)) throw cause;
      throw new NbdServerError('PROTOCOL', 'an NBD client sent what is no request', { cause });
    }
  }

  /** Takes the request's payload and starts to serve it. @returns false where the connection ended in the payload */
  async #accept(request: Request): Promise<boolean> {
    const payload = payloadLength(request, this.#session);
    const refusal = checkRequest(request, this.#session);
    if (refusal !== undefined) {
      if (payload > MAX_SKIPPED) {
        throw new NbdServerError('PROTOCOL', `an NBD client announced a payload of ${payload} bytes`);
      }
      if (payload > 0 && !(await this.#channel.skip(payload))) return false;
      this.#slots.run(this.#send(this.#reply.error(request, refusal.error, refusal.message)));
      return true;
    }
    if (request.command === NBD_CMD_WRITE) return this.#takeWrite(request);
    this.#slots.run(request.command === NBD_CMD_READ ? this.#read(request) : this.#change(request));
    return true;
  }

  /** In pieces, of which several are under way: the next is read while the one before leaves. */
  async #read(request: Request): Promise<void> {
    const end = request.offset + request.length;
    let sent: Promise<void> | undefined;
    for (let offset = request.offset; offset < end; offset += PIECE) {
      const length = Math.min(PIECE, end - offset);
      const bytes = sizeClass(length);
      const { signal } = this.#context;
      await this.#context.budget.acquire(bytes);
      if (signal.aborted) return this.#context.budget.release(bytes);
      const buffer = this.#context.pool.take(length);
      try {
        await this.#session.open.source.read(offset, buffer.subarray(HEADROOM, HEADROOM + length), { signal });
      } catch (error) {
        // The buffer does not go back to the pool: the source may still be writing to it.
        this.#context.budget.release(bytes);
        return this.#readFailed(request, offset, error);
      }
      sent = this.#sendPiece(this.#reply.data(request, { buffer, offset, length }), buffer, bytes);
    }
    await sent;
  }

  #readFailed(request: Request, offset: number, error: unknown): Promise<void> {
    const errno = this.#failed(request, error);
    // A simple reply cannot fail once it has begun ("Simple reply message").
    if (this.#session.headers === 'simple' && offset > request.offset) {
      this.#channel.destroy();
      return Promise.resolve();
    }
    return this.#send(this.#reply.error(request, errno, 'the read failed', offset));
  }

  async #sendPiece(bytes: Uint8Array, buffer: Buffer, held: number): Promise<void> {
    try {
      await this.#channel.send(bytes);
      this.#context.pool.give(buffer);
    } catch {
      // The connection has ended; what the buffer still serves for is not known.
    } finally {
      this.#context.budget.release(held);
    }
  }

  /** In pieces too: each is written while the next one comes. */
  async #takeWrite(request: Request): Promise<boolean> {
    const { budget, pool } = this.#context;
    const pieces: Promise<unknown>[] = [];
    const end = request.offset + request.length;
    let whole = true;
    for (let offset = request.offset; offset < end && whole; offset += PIECE) {
      const length = Math.min(PIECE, end - offset);
      const bytes = sizeClass(length);
      await budget.acquire(bytes);
      const buffer = pool.take(length);
      const data = buffer.subarray(HEADROOM, HEADROOM + length);
      whole = await this.#channel.fill(data);
      if (whole) pieces.push(this.#writePiece(offset, data, buffer).finally(() => budget.release(bytes)));
      else budget.release(bytes);
    }
    const written = Promise.all(pieces).then((errors) => this.#finish(request, errors));
    this.#slots.run(written);
    return whole;
  }

  /** Resolves to what went wrong: a write that fails must not end those beside it. */
  async #writePiece(offset: number, data: Buffer, buffer: Buffer): Promise<unknown> {
    try {
      await this.#session.open.source.write?.(offset, data, { signal: this.#context.signal });
      this.#context.pool.give(buffer);
      return undefined;
    } catch (error) {
      return { reason: error };
    }
  }

  async #finish(request: Request, errors: readonly unknown[]): Promise<void> {
    const first = errors.find((error) => error !== undefined);
    if (typeof first === 'object' && first !== null && 'reason' in first) return this.#fail(request, first.reason);
    await this.#complete(request, async () => {});
  }

  #change(request: Request): Promise<void> {
    const { source } = this.#session.open;
    const { offset, length } = request;
    const options = { signal: this.#context.signal };
    switch (request.command) {
      case NBD_CMD_WRITE_ZEROES:
        return this.#complete(request, () => source.writeZeroes?.(offset, length, options));
      case NBD_CMD_TRIM:
        return this.#complete(request, () => source.trim?.(offset, length, options));
      case NBD_CMD_FLUSH:
        return this.#complete(request, () => source.flush?.(options));
      case NBD_CMD_BLOCK_STATUS:
        return this.#blockStatus(request);
      default:
        return this.#fail(request, new Error(`no such command: ${request.command}`));
    }
  }

  async #complete(request: Request, act: () => Promise<void> | undefined): Promise<void> {
    try {
      await act();
      const fua = (request.flags & NBD_CMD_FLAG_FUA) !== 0 && request.command !== NBD_CMD_FLUSH;
      if (fua) await this.#session.open.source.flush?.({ signal: this.#context.signal });
    } catch (error) {
      return this.#fail(request, error);
    }
    await this.#send(this.#reply.done(request));
  }

  async #blockStatus(request: Request): Promise<void> {
    const limit = (request.flags & NBD_CMD_FLAG_REQ_ONE) !== 0 ? 1 : MAX_EXTENTS;
    // Also this takes memory: the longest list of extents, and the reply that it becomes.
    await this.#context.budget.acquire(PIECE);
    try {
      const extents = await allocation(this.#session.open.source, request, limit, this.#context.signal);
      await this.#send(this.#reply.blockStatus(request, extents));
    } catch (error) {
      await this.#fail(request, error);
    } finally {
      this.#context.budget.release(PIECE);
    }
  }

  #fail(request: Request, error: unknown): Promise<void> {
    return this.#send(
      this.#reply.error(request, this.#failed(request, error), `${commandName(request.command)} failed`),
    );
  }

  #failed(request: Request, error: unknown): number {
    if (!this.#context.signal.aborted) this.#context.sourceFailed(request, error);
    return sourceErrno(error, request.command !== NBD_CMD_READ && request.command !== NBD_CMD_BLOCK_STATUS);
  }

  /** Never rejects: that the connection has ended is the channel's to tell. */
  async #send(bytes: Uint8Array): Promise<void> {
    await this.#channel.send(bytes).catch(() => {});
  }
}
