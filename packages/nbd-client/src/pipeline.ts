import {
  encodeExtendedRequest,
  encodeRequest,
  NBD_CMD_DISC,
  NBD_CMD_FLAG_PAYLOAD_LEN,
  NBD_CMD_READ,
  NBD_CMD_WRITE,
  type Request,
} from '@virtnbd/nbd-protocol';
import type { OpenSession } from './connect.ts';
import { NbdError } from './errors.ts';
import { IdleWatch } from './idle-watch.ts';
import { Operation, type OperationInput, type WireRequest } from './operation.ts';
import type { RequestOptions } from './options.ts';
import { ReplyReceiver } from './reply-receiver.ts';
import { failed, late, protocolError, requestError, silence } from './request-errors.ts';
import type { Transport } from './transport.ts';

/** What is received at a time while a header is awaited whose payload has a place, in bytes. */
const HEADER_BUFFER = 4096;
/** How long the server may take to end the connection after NBD_CMD_DISC. */
const CLOSE_GRACE_MS = 5_000;

export interface PipelineLimits {
  /** Requests on the wire at a time. */
  maxRequests: number;
  /** Bytes of payload on the wire at a time, either way. One request may exceed it alone. */
  maxBytes: number;
  /** Silence of a server that owes replies, milliseconds; 0 for any. */
  idleTimeoutMs: number;
}

/**
 * The transmission phase: operations in, requests out, replies matched to them. Requests are sent in the order of the
 * calls, as many as the limits allow; those made in one turn of the event loop leave in one write.
 */
export class Pipeline {
  readonly #transport: Transport;
  readonly #limits: PipelineLimits;
  readonly #extended: boolean;
  readonly #waiting = new Set<Operation>();
  readonly #inFlight = new Map<number, WireRequest>();
  readonly #receiver: ReplyReceiver;
  readonly #idle: IdleWatch;
  #bytesInFlight = 0;
  /** As many requests as may be were in flight: the next ones wait until half of them are answered. */
  #held = false;
  /** Requests in flight whose payload the socket may put into place itself. */
  #inPlace = 0;
  #cookie = 0;
  #outbox: Uint8Array[] = [];
  #flushPlanned = false;
  #failure: NbdError | undefined;
  #closing: Promise<void> | undefined;
  #live = 0;
  #onIdle: (() => void) | undefined;
  readonly #ended = Promise.withResolvers<void>();

  constructor({ transport, session, received }: OpenSession, limits: PipelineLimits) {
    this.#transport = transport;
    this.#limits = limits;
    this.#extended = session.headers === 'extended';
    this.#idle = new IdleWatch(limits.idleTimeoutMs, () => this.destroy(silence(limits.idleTimeoutMs)));
    this.#receiver = new ReplyReceiver({
      headers: session.headers,
      contexts: new Map(session.contexts.map(({ id, name }) => [id, name])),
      find: (cookie) => this.#inFlight.get(Number(cookie)),
      finish: (request) => this.#finish(request),
    });
    transport.listen({
      data: (bytes) => this.#receive(() => this.#receiver.push(bytes)),
      place: (buffer) => this.#place(buffer),
      placed: (length) => this.#receive(() => this.#receiver.placed(length)),
      drain: () => {
        this.#idle.touch();
        this.#dispatch();
      },
      closed: (cause) => {
        this.destroy(new NbdError('CLOSED', 'the NBD server closed the connection', { cause }));
        this.#ended.resolve();
      },
    });
    this.#receive(() => this.#receiver.push(received));
  }

  /** Why the connection has ended; undefined while it lives. */
  get failure(): NbdError | undefined {
    return this.#failure;
  }

  /** Calls that have not settled: a measure of how busy the connection is. */
  get load(): number {
    return this.#live;
  }

  /**
   * Queues an operation. Rejects with the server's error once nothing of it is in flight any more; with the signal's
   * reason, or when its time is over, at once, and then what arrives later is thrown away.
   */
  async run(input: OperationInput, { signal, timeoutMs = 0 }: RequestOptions = {}): Promise<Operation> {
    signal?.throwIfAborted();
    if (this.#failure !== undefined) throw failed(this.#failure, input);
    if (this.#closing !== undefined) throw new NbdError('CLOSED', 'the NBD connection is being closed');
    const operation = new Operation(input);
    const giveUp = (reason: unknown) => {
      this.#waiting.delete(operation);
      operation.abandon(reason);
    };
    const abort = () => giveUp(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    const timer = timeoutMs > 0 ? setTimeout(() => giveUp(late(input, timeoutMs)), timeoutMs) : undefined;
    this.#live++;
    this.#waiting.add(operation);
    this.#dispatch();
    try {
      await operation.done;
      return operation;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      this.#live--;
      if (this.#live === 0) this.#onIdle?.();
    }
  }

  /** Lets what is in flight end, says NBD_CMD_DISC, and waits until the socket has ended. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#live > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    if (this.#failure === undefined) {
      this.#outbox.push(this.#encode({ command: NBD_CMD_DISC, flags: 0, cookie: 0n, offset: 0, length: 0 }));
      this.#flush();
      this.#transport.end();
      const timer = setTimeout(() => this.#transport.destroy(), CLOSE_GRACE_MS);
      await this.#ended.promise;
      clearTimeout(timer);
    } else {
      await this.#ended.promise;
    }
  }

  /** Ends the connection at once; everything in flight or waiting fails with the reason as its cause. */
  destroy(reason: NbdError): void {
    if (this.#failure !== undefined) return;
    this.#failure = reason;
    this.#idle.disarm();
    this.#transport.destroy();
    const operations = new Set(this.#waiting);
    for (const { operation } of this.#inFlight.values()) operations.add(operation);
    this.#waiting.clear();
    this.#inFlight.clear();
    this.#outbox = [];
    for (const operation of operations) operation.abandon(failed(reason, operation));
  }

  #place(buffer: Uint8Array): Uint8Array {
    // A header must bring little of its payload along: that would have to be copied.
    return this.#receiver.place() ?? (this.#inPlace > 0 ? buffer.subarray(0, HEADER_BUFFER) : buffer);
  }

  #receive(take: () => void): void {
    if (this.#failure !== undefined) return;
    this.#idle.touch();
    try {
      take();
    } catch (cause) {
      this.destroy(cause instanceof NbdError ? cause : protocolError(cause));
      return;
    }
    this.#dispatch();
  }

  #finish(request: WireRequest): void {
    const { operation, error } = request;
    this.#inFlight.delete(request.cookie);
    if (this.#inFlight.size === 0) this.#idle.disarm();
    this.#bytesInFlight -= payloadLength(request);
    if (request.inPlace) this.#inPlace--;
    operation.inFlight--;
    if (error === undefined) {
      if (request.status !== undefined) operation.status = request.status;
    } else {
      operation.failure ??= requestError(request, error);
      this.#waiting.delete(operation);
    }
    operation.settleWhenIdle();
    // "If the client receives an NBD_ESHUTDOWN error it MUST initiate a soft disconnect."
    if (operation.failure?.errno === 'ESHUTDOWN') void this.close();
  }

  #dispatch(): void {
    if (this.#failure !== undefined) return;
    // One write for many requests, and one time that the server wakes, rather than one for each reply.
    if (this.#held && this.#inFlight.size > this.#limits.maxRequests / 2) return;
    this.#held = false;
    for (const operation of this.#waiting) {
      while (operation.unsent) {
        if (!this.#hasRoom(operation)) {
          this.#held = this.#inFlight.size >= this.#limits.maxRequests;
          return;
        }
        this.#send(operation);
      }
      this.#waiting.delete(operation);
    }
  }

  #hasRoom(operation: Operation): boolean {
    if (this.#inFlight.size === 0) return true;
    const bytes = this.#bytesInFlight + (hasPayload(operation.command) ? operation.nextLength : 0);
    const { maxRequests, maxBytes } = this.#limits;
    return this.#inFlight.size < maxRequests && bytes <= maxBytes && !this.#transport.congested;
  }

  #send(operation: Operation): void {
    this.#cookie = (this.#cookie + 1) % Number.MAX_SAFE_INTEGER;
    const request = operation.next(this.#cookie);
    const { cookie, offset, length } = request;
    this.#inFlight.set(cookie, request);
    this.#idle.arm();
    this.#bytesInFlight += payloadLength(request);
    if (request.inPlace) this.#inPlace++;
    const { command, flags } = operation;
    this.#outbox.push(this.#encode({ command, flags, cookie: BigInt(cookie), offset, length }));
    if (operation.data !== undefined) {
      this.#outbox.push(operation.data.subarray(request.start, request.start + length));
    }
    if (this.#flushPlanned) return;
    this.#flushPlanned = true;
    // After the promises that the last replies settled have made their own requests: one write for all.
    queueMicrotask(() => process.nextTick(() => this.#flush()));
  }

  #encode(request: Request): Uint8Array {
    if (!this.#extended) return encodeRequest(request);
    const payload = request.command === NBD_CMD_WRITE ? NBD_CMD_FLAG_PAYLOAD_LEN : 0;
    return encodeExtendedRequest({ ...request, flags: request.flags | payload });
  }

  #flush(): void {
    this.#flushPlanned = false;
    const pieces = this.#outbox;
    if (pieces.length === 0 || this.#failure !== undefined) return;
    this.#outbox = [];
    this.#transport.write(pieces);
  }
}

function hasPayload(command: number): boolean {
  return command === NBD_CMD_READ || command === NBD_CMD_WRITE;
}

function payloadLength(request: WireRequest): number {
  return hasPayload(request.operation.command) ? request.length : 0;
}
