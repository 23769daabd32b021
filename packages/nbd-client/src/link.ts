import { setTimeout as delay } from 'node:timers/promises';
import { NBD_CMD_BLOCK_STATUS, NBD_CMD_CACHE, NBD_CMD_FLUSH, NBD_CMD_READ } from '@virtnbd/nbd-protocol';
import type { NbdAddress } from './address.ts';
import { type OpenSession, openSession } from './connect.ts';
import { NbdError } from './errors.ts';
import type { Session } from './handshake.ts';
import type { Operation, OperationInput } from './operation.ts';
import type { ConnectOptions, RequestOptions } from './options.ts';
import { Pipeline } from './pipeline.ts';

/** qemu works on 16 requests of a connection at once, nbdkit on as many as it has threads; some more wait at hand. */
const MAX_REQUESTS = 32;
/** More is no faster, and falls out of the processor's cache. */
const MAX_BYTES = 4 * 1024 * 1024;
const RECONNECT_ATTEMPTS = 5;
const RECONNECT_DELAY_MS = 500;

/**
 * One connection to an export: a pipeline, and where that is wanted and safe, another one in its place when it is lost.
 * Only what changes nothing is repeated, and only as long as nothing was written: a new connection would confirm a flush of
 * what the server's end of the old one may have lost.
 */
export class Link {
  readonly session: Session;
  readonly #address: NbdAddress;
  readonly #options: ConnectOptions;
  readonly #stop = new AbortController();
  #pipeline: Pipeline;
  #wrote = false;
  #renewal: Promise<void> | undefined;

  private constructor(address: NbdAddress, options: ConnectOptions, opened: OpenSession) {
    this.session = opened.session;
    this.#address = address;
    this.#options = options;
    this.#pipeline = this.#start(opened);
  }

  static async open(address: NbdAddress, options: ConnectOptions): Promise<Link> {
    return new Link(address, options, await openSession(address, options));
  }

  /** Whether requests still have a chance. */
  get alive(): boolean {
    return !this.#stop.signal.aborted && (this.#pipeline.failure === undefined || this.#canRenew());
  }

  /** Calls that have not settled. */
  get load(): number {
    return this.#pipeline.load;
  }

  async run(input: OperationInput, options: RequestOptions): Promise<Operation> {
    const timeoutMs = options.timeoutMs ?? this.#options.requestTimeoutMs ?? 0;
    const { signal } = options;
    if (!isHarmless(input.command)) this.#wrote = true;
    for (let attempt = 0; ; attempt++) {
      const pipeline = this.#pipeline;
      try {
        return await pipeline.run(input, { timeoutMs, ...(signal !== undefined && { signal }) });
      } catch (error) {
        const attempts = this.#options.reconnect?.attempts ?? RECONNECT_ATTEMPTS;
        const lost = error instanceof NbdError && pipeline.failure !== undefined;
        if (!lost || attempt >= attempts || !isHarmless(input.command) || !this.#canRenew()) throw error;
        await this.#renew(pipeline, error, signal);
      }
    }
  }

  close(): Promise<void> {
    this.#stop.abort();
    return this.#pipeline.close();
  }

  destroy(reason: NbdError): void {
    this.#stop.abort();
    this.#pipeline.destroy(reason);
  }

  #start(opened: OpenSession): Pipeline {
    const { maxRequestsInFlight, maxBytesInFlight, idleTimeoutMs } = this.#options;
    return new Pipeline(opened, {
      maxRequests: maxRequestsInFlight ?? MAX_REQUESTS,
      maxBytes: maxBytesInFlight ?? MAX_BYTES,
      idleTimeoutMs: idleTimeoutMs ?? 0,
    });
  }

  /** A server that breaks the protocol gets no second chance. */
  #canRenew(): boolean {
    const wanted = this.#options.reconnect !== undefined && !('stream' in this.#address);
    return wanted && !this.#wrote && !this.#stop.signal.aborted && this.#pipeline.failure?.code !== 'PROTOCOL';
  }

  /** Waits for a connection in place of the lost one: one for all calls that wait. */
  async #renew(lost: Pipeline, cause: NbdError, signal: AbortSignal | undefined): Promise<void> {
    if (this.#pipeline === lost) {
      this.#renewal ??= this.#connectAgain(cause).finally(() => {
        this.#renewal = undefined;
      });
    }
    await untilAborted(this.#renewal ?? Promise.resolve(), signal);
  }

  async #connectAgain(cause: NbdError): Promise<void> {
    const { attempts = RECONNECT_ATTEMPTS, delayMs = RECONNECT_DELAY_MS } = this.#options.reconnect ?? {};
    const { signal } = this.#stop;
    for (let attempt = 1; ; attempt++) {
      try {
        await delay(delayMs, undefined, { signal });
        const opened = await openSession(this.#address, { ...this.#options, signal });
        if (!isSame(opened.session, this.session)) {
          opened.transport.destroy();
          throw new NbdError('CLOSED', 'connected again, but the NBD export is not the same any more', { cause });
        }
        this.#pipeline = this.#start(opened);
        return;
      } catch (error) {
        if (signal.aborted) throw cause;
        if (!(error instanceof NbdError) || !PASSING.has(error.code) || attempt >= attempts) throw error;
      }
    }
  }
}

/** Failures of connecting that a server has while it starts again. */
const PASSING: ReadonlySet<string> = new Set(['CONNECT', 'HANDSHAKE', 'TIMEOUT']);

function isHarmless(command: number): boolean {
  return [NBD_CMD_READ, NBD_CMD_BLOCK_STATUS, NBD_CMD_CACHE, NBD_CMD_FLUSH].includes(command);
}

/** Context ids too: a walk over extents has them in hand. */
function isSame(a: Session, b: Session): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
