import { encodeOption, NBD_MAX_STRING, NBD_OPT_ABORT, NbdCodecError } from '@virtnbd/nbd-protocol';
import type { NbdAddress } from './address.ts';
import { NbdError, printable } from './errors.ts';
import { askForTls, greet, negotiate, type Session } from './handshake.ts';
import { HandshakeStream } from './handshake-stream.ts';
import type { ConnectOptions, HandshakeOptions } from './options.ts';
import { checkTlsOptions, endedUnderTls, type NbdTlsOptions } from './tls.ts';
import { Transport } from './transport.ts';

/** A connection in the transmission phase. */
export interface OpenSession {
  session: Session;
  transport: Transport;
  /** Bytes that came with the last handshake message. */
  received: Uint8Array;
}

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_KEEP_ALIVE_MS = 30_000;

/** Connects and negotiates, within the time-out; nothing stays open where it fails. */
export async function openSession(address: NbdAddress, options: ConnectOptions): Promise<OpenSession> {
  const { exportName = '', metaContexts = [], extendedHeaders = true } = options;
  checkNames([exportName, ...metaContexts]);
  return shakeHands(address, options, async ({ transport, stream, noZeroes }) => {
    const session = await negotiate(stream, { exportName, metaContexts, extendedHeaders }, noZeroes);
    return { session, transport, received: stream.rest() };
  });
}

/** Asks the server something before the transmission phase, and leaves in good order. */
export async function askServer<T>(
  address: NbdAddress,
  options: HandshakeOptions,
  question: (stream: HandshakeStream) => Promise<T>,
): Promise<T> {
  return shakeHands(address, options, async ({ transport, stream }) => {
    const answer = await question(stream);
    leave(transport);
    return answer;
  });
}

/** A connection on which options are being asked, encrypted where that was wanted. */
interface Negotiation {
  transport: Transport;
  stream: HandshakeStream;
  noZeroes: boolean;
}

async function shakeHands<T>(
  address: NbdAddress,
  options: HandshakeOptions,
  talk: (negotiation: Negotiation) => Promise<T>,
): Promise<T> {
  const { timeoutMs = DEFAULT_TIMEOUT_MS, keepAliveMs = DEFAULT_KEEP_ALIVE_MS } = options;
  options.signal?.throwIfAborted();
  const tls = options.tls === true ? {} : options.tls;
  if (tls !== undefined) checkTlsOptions(tls, address);
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(timeout(timeoutMs)), timeoutMs);
  const abort = () => stop.abort(options.signal?.reason);
  options.signal?.addEventListener('abort', abort, { once: true });
  try {
    const transport = await Transport.open(address, { signal: stop.signal, keepAliveMs });
    return await new Handshake(transport, stop.signal).run(address, tls, talk);
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', abort);
  }
}

/** The handshake over one connection, which TLS replaces by another half-way. */
class Handshake {
  readonly #signal: AbortSignal;
  #transport: Transport;
  #stream: HandshakeStream;

  constructor(transport: Transport, signal: AbortSignal) {
    this.#signal = signal;
    this.#transport = transport;
    this.#stream = new HandshakeStream(transport);
  }

  async run<T>(
    address: NbdAddress,
    tls: NbdTlsOptions | undefined,
    talk: (negotiation: Negotiation) => Promise<T>,
  ): Promise<T> {
    const signal = this.#signal;
    const abort = () => {
      this.#transport.destroy();
      this.#stream.fail(new NbdError('CLOSED', 'the NBD handshake was given up'));
    };
    signal.addEventListener('abort', abort, { once: true });
    try {
      signal.throwIfAborted();
      const noZeroes = await greet(this.#stream);
      if (tls !== undefined) await this.#encrypt(tls, address);
      const result = await talk({ transport: this.#transport, stream: this.#stream, noZeroes });
      signal.throwIfAborted();
      return result;
    } catch (cause) {
      giveUp(this.#transport, cause);
      if (signal.aborted) throw signal.reason;
      if (!(cause instanceof NbdCodecError)) throw cause;
      throw new NbdError('PROTOCOL', `the NBD handshake failed: ${printable(cause.message)}`, { cause });
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  async #encrypt(tls: NbdTlsOptions, address: NbdAddress): Promise<void> {
    await askForTls(this.#stream);
    this.#transport = await this.#transport.secure(tls, address, this.#signal);
    this.#stream = new HandshakeStream(this.#transport, (cause) => endedUnderTls(tls, cause));
  }
}

/** @throws NbdError `USAGE` for a name that NBD cannot carry */
export function checkNames(names: readonly string[]): void {
  const long = names.find((name) => Buffer.byteLength(name) > NBD_MAX_STRING);
  if (long === undefined) return;
  const start = printable(long.slice(0, 40));
  throw new NbdError('USAGE', `the name "${start}…" is longer than the ${NBD_MAX_STRING} bytes that NBD allows`);
}

/** A refused option ends in good order, as the specification asks; anything else at once. */
function giveUp(transport: Transport, cause: unknown): void {
  if (cause instanceof NbdError && cause.reply !== undefined) leave(transport);
  else transport.destroy();
}

function leave(transport: Transport): void {
  transport.write([encodeOption(NBD_OPT_ABORT)]);
  transport.leave();
}

function timeout(timeoutMs: number): NbdError {
  return new NbdError('TIMEOUT', `the NBD server did not complete the handshake within ${timeoutMs} ms`);
}
