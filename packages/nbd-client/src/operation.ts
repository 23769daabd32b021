import type { ErrorChunk } from '@virtnbd/nbd-protocol';
import { Coverage } from './coverage.ts';
import type { NbdError } from './errors.ts';
import type { ReadTarget } from './read-target.ts';

/** Length and flags of extents by turns; the wider form is exact up to 2^53 - 1. */
export type Extents = Uint32Array | Float64Array;

export interface OperationInput {
  /** NBD_CMD_* */
  command: number;
  /** NBD_CMD_FLAG_* */
  flags?: number;
  /** Bytes into the export. */
  offset: number;
  length: number;
  /** The longest request that it is cut into, and the grid on which the cuts lie. */
  piece: number;
  /** A read's target. */
  target?: ReadTarget;
  /** A write's data, `length` bytes. */
  data?: Uint8Array;
}

/** What one call of the client asks for. It goes over the wire as one request or several. */
export class Operation {
  readonly command: number;
  readonly flags: number;
  readonly offset: number;
  readonly length: number;
  readonly done: Promise<void>;
  /** Undefined once settled: what still arrives is thrown away. */
  target: ReadTarget | undefined;
  /** Undefined once settled: what was not sent yet is not sent any more. */
  data: Uint8Array | undefined;
  /** The first request that failed; the rest is not sent any more. */
  failure: NbdError | undefined;
  /** Block status only: extents by context id. */
  status: ReadonlyMap<number, Extents> = NO_STATUS;
  inFlight = 0;
  settled = false;
  readonly #piece: number;
  #sent = 0;
  #first = true;
  readonly #resolve: () => void;
  readonly #reject: (reason: unknown) => void;

  constructor(input: OperationInput) {
    this.command = input.command;
    this.flags = input.flags ?? 0;
    this.offset = input.offset;
    this.length = input.length;
    this.target = input.target;
    this.data = input.data;
    this.#piece = input.piece;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.done = promise;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** Whether a part was not sent yet. A request without a range (flush) is sent once. */
  get unsent(): boolean {
    return !this.settled && this.failure === undefined && (this.#first || this.#sent < this.length);
  }

  /** Bytes of the next request: up to the next multiple of the piece, so that all but the first begin on the grid. */
  get nextLength(): number {
    const at = this.offset + this.#sent;
    return Math.min(this.length - this.#sent, this.#piece - (at % this.#piece));
  }

  /** Takes the next request off the part that was not sent yet. */
  next(cookie: number): WireRequest {
    const request = new WireRequest(this, cookie, this.#sent, this.nextLength);
    this.#first = false;
    this.#sent += request.length;
    this.inFlight++;
    return request;
  }

  /** Settles the operation once nothing of it is in flight or still to be sent. */
  settleWhenIdle(): void {
    if (this.settled || this.inFlight > 0 || this.unsent) return;
    this.settled = true;
    this.target = undefined;
    this.data = undefined;
    if (this.failure === undefined) this.#resolve();
    else this.#reject(this.failure);
  }

  /** Rejects now. Its buffers are let go: they are not written any more, whatever still arrives. */
  abandon(reason: unknown): void {
    if (this.settled) return;
    this.settled = true;
    this.target = undefined;
    this.data = undefined;
    this.#reject(reason);
  }
}

const NO_STATUS: ReadonlyMap<number, Extents> = new Map();

/** Shorter replies are received together, in bytes. */
const LEAST_IN_PLACE = 32 << 10;

/** One request on the wire, and what has arrived of its reply. */
export class WireRequest {
  readonly operation: Operation;
  readonly cookie: number;
  /** Where in the operation this request begins. */
  readonly start: number;
  readonly length: number;
  readonly coverage: Coverage;
  /** Whether its payload may be received in place: that of a long read. */
  readonly inPlace: boolean;
  /** Whether a structured chunk has arrived: then no simple reply may follow. */
  chunked = false;
  /** Chunks of data or holes that have arrived: one at most where the read was not to be fragmented. */
  contentChunks = 0;
  errorChunks = 0;
  /** The first error chunk; a request with one has failed, whatever else arrives. */
  error: ErrorChunk | undefined;
  /** Block status only. */
  status: Map<number, Extents> | undefined;

  constructor(operation: Operation, cookie: number, start: number, length: number) {
    this.operation = operation;
    this.cookie = cookie;
    this.start = start;
    this.length = length;
    this.coverage = new Coverage(length);
    this.inPlace = operation.target?.inPlace === true && length >= LEAST_IN_PLACE;
  }

  /** Bytes into the export. */
  get offset(): number {
    return this.operation.offset + this.start;
  }
}
