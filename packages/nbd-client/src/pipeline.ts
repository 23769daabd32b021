import {
  commandName,
  encodeRequest,
  errnoName,
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_DISC,
  NBD_CMD_READ,
  NBD_CMD_WRITE,
} from '@virtnbd/nbd-protocol';
import { NbdError, printable } from './errors.ts';
import type { Session } from './handshake.ts';
import { Operation, type OperationInput, type WireRequest } from './operation.ts';
import { ReplyReceiver } from './reply-receiver.ts';
import type { Transport } from './transport.ts';

/** Requests on the wire at a time; qemu and nbdkit work on 16 of a connection at once. */
const MAX_IN_FLIGHT = 16;
/** Bytes of payload on the wire at a time, either way; more is no faster, and falls out of the processor's cache. */
const MAX_BYTES_IN_FLIGHT = 4 * 1024 * 1024;
/** How long the server may take to end the connection after NBD_CMD_DISC. */
const CLOSE_GRACE_MS = 5_000;

/**
 * The transmission phase: operations in, requests out, replies matched to them. Requests are sent in the order of the
 * calls, as many as the limits allow; those made in one turn of the event loop leave in one write.
 */
export class Pipeline {
  readonly #transport: Transport;
  readonly #waiting = new Set<Operation>();
  readonly #inFlight = new Map<number, WireRequest>();
  readonly #receiver: ReplyReceiver;
  #bytesInFlight = 0;
  #cookie = 0;
  #outbox: Uint8Array[] = [];
  #flushPlanned = false;
  #failure: NbdError | undefined;
  #closing: Promise<void> | undefined;
  #live = 0;
  #onIdle: (() => void) | undefined;
  readonly #ended = Promise.withResolvers<void>();

  constructor(transport: Transport, session: Session, received: Uint8Array) {
    this.#transport = transport;
    this.#receiver = new ReplyReceiver({
      structured: session.structured,
      contextIds: new Set(session.contexts.map(({ id }) => id)),
      find: (cookie) => this.#inFlight.get(Number(cookie)),
      finish: (request) => this.#finish(request),
    });
    transport.listen({
      data: (bytes) => this.#receive(bytes),
      drain: () => this.#dispatch(),
      closed: (cause) => {
        this.destroy(new NbdError('CLOSED', 'the NBD server closed the connection', { cause }));
        this.#ended.resolve();
      },
    });
    this.#receive(received);
  }

  /**
   * Queues an operation. Rejects with the server's error once nothing of it is in flight any more; with the signal's
   * reason at once, and then what arrives later is thrown away.
   */
  async run(input: OperationInput, signal?: AbortSignal): Promise<Operation> {
    signal?.throwIfAborted();
    if (this.#failure !== undefined) throw this.#failed(this.#failure, input);
    if (this.#closing !== undefined) throw new NbdError('CLOSED', 'the NBD connection is being closed');
    const operation = new Operation(input);
    const abort = () => {
      this.#waiting.delete(operation);
      operation.abandon(signal?.reason);
    };
    signal?.addEventListener('abort', abort, { once: true });
    this.#live++;
    this.#waiting.add(operation);
    this.#dispatch();
    try {
      await operation.done;
      return operation;
    } finally {
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
      this.#outbox.push(encodeRequest({ command: NBD_CMD_DISC, flags: 0, cookie: 0n, offset: 0, length: 0 }));
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
    this.#transport.destroy();
    const operations = new Set(this.#waiting);
    for (const { operation } of this.#inFlight.values()) operations.add(operation);
    this.#waiting.clear();
    this.#inFlight.clear();
    this.#outbox = [];
    for (const operation of operations) operation.abandon(this.#failed(reason, operation));
  }

  #failed(
    reason: NbdError,
    { command, offset, length }: { command: number; offset: number; length: number },
  ): NbdError {
    const message = `${commandName(command)} at ${offset}, ${length} bytes: ${reason.message}`;
    return new NbdError(reason.code, message, { offset, length, cause: reason });
  }

  #receive(bytes: Uint8Array): void {
    if (this.#failure !== undefined) return;
    try {
      this.#receiver.push(bytes);
    } catch (cause) {
      this.destroy(cause instanceof NbdError ? cause : protocolError(cause));
      return;
    }
    this.#dispatch();
  }

  #finish(request: WireRequest): void {
    const { operation, error } = request;
    this.#inFlight.delete(request.cookie);
    this.#bytesInFlight -= payloadLength(request);
    operation.inFlight--;
    if (error === undefined) {
      if (operation.command === NBD_CMD_BLOCK_STATUS) operation.status = request.status;
    } else {
      operation.failure ??= requestError(request, errnoName(error.error), error.message, error.offset);
      this.#waiting.delete(operation);
    }
    operation.settleWhenIdle();
    // "If the client receives an NBD_ESHUTDOWN error it MUST initiate a soft disconnect."
    if (operation.failure?.errno === 'ESHUTDOWN') void this.close();
  }

  #dispatch(): void {
    if (this.#failure !== undefined) return;
    for (const operation of this.#waiting) {
      while (operation.unsent) {
        if (!this.#hasRoom(operation)) return;
        this.#send(operation);
      }
      this.#waiting.delete(operation);
    }
  }

  #hasRoom(operation: Operation): boolean {
    if (this.#inFlight.size === 0) return true;
    const bytes = this.#bytesInFlight + (hasPayload(operation.command) ? operation.nextLength : 0);
    return this.#inFlight.size < MAX_IN_FLIGHT && bytes <= MAX_BYTES_IN_FLIGHT && !this.#transport.congested;
  }

  #send(operation: Operation): void {
    this.#cookie = (this.#cookie + 1) % Number.MAX_SAFE_INTEGER;
    const request = operation.next(this.#cookie);
    const { cookie, offset, length } = request;
    this.#inFlight.set(cookie, request);
    this.#bytesInFlight += payloadLength(request);
    const { command, flags } = operation;
    this.#outbox.push(encodeRequest({ command, flags, cookie: BigInt(cookie), offset, length }));
    if (command === NBD_CMD_WRITE && operation.buffer !== undefined) {
      this.#outbox.push(operation.buffer.subarray(request.start, request.start + length));
    }
    if (this.#flushPlanned) return;
    this.#flushPlanned = true;
    // After the promises that the last replies settled have made their own requests: one write for all.
    queueMicrotask(() => process.nextTick(() => this.#flush()));
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

function protocolError(cause: unknown): NbdError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new NbdError('PROTOCOL', `the NBD server broke the protocol: ${printable(message)}`, { cause });
}

function requestError(request: WireRequest, errno: string, message: string, at?: number): NbdError {
  const { offset, length } = request;
  const said = message === '' ? errno : `${errno}, ${printable(message)}`;
  const where = at === undefined ? '' : ` (at ${at})`;
  const what = `${commandName(request.operation.command)} at ${offset}, ${length} bytes`;
  return new NbdError('REQUEST', `the NBD server failed ${what}: ${said}${where}`, {
    errno,
    offset: at ?? offset,
    length,
  });
}
