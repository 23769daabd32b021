import { encodeOption, NBD_MAX_STRING, NBD_OPT_ABORT, NbdCodecError } from '@virtnbd/nbd-protocol';
import { NbdError, printable } from './errors.ts';
import { negotiate, type Session } from './handshake.ts';
import { HandshakeStream } from './handshake-stream.ts';
import type { ConnectOptions } from './options.ts';
import { type NbdAddress, Transport } from './transport.ts';

export interface OpenSession {
  session: Session;
  transport: Transport;
  /** Bytes that came with the last handshake message. */
  received: Uint8Array;
}

const DEFAULT_TIMEOUT_MS = 30_000;

/** Connects and negotiates, within the time-out; nothing stays open where it fails. */
export async function openSession(address: NbdAddress, options: ConnectOptions): Promise<OpenSession> {
  const { timeoutMs = DEFAULT_TIMEOUT_MS, exportName = '', metaContexts = [] } = options;
  options.signal?.throwIfAborted();
  checkNames([exportName, ...metaContexts]);
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(timeout(timeoutMs)), timeoutMs);
  const abort = () => stop.abort(options.signal?.reason);
  options.signal?.addEventListener('abort', abort, { once: true });
  try {
    const transport = await Transport.open(address, stop.signal);
    return await handshake(transport, { exportName, metaContexts }, stop.signal);
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', abort);
  }
}

async function handshake(
  transport: Transport,
  options: { exportName: string; metaContexts: readonly string[] },
  signal: AbortSignal,
): Promise<OpenSession> {
  const stream = new HandshakeStream(transport);
  const abort = () => {
    transport.destroy();
    stream.fail(new NbdError('CLOSED', 'the NBD handshake was given up'));
  };
  signal.addEventListener('abort', abort, { once: true });
  try {
    signal.throwIfAborted();
    const session = await negotiate(stream, options);
    signal.throwIfAborted();
    return { session, transport, received: stream.rest() };
  } catch (cause) {
    giveUp(transport, cause);
    if (signal.aborted) throw signal.reason;
    if (!(cause instanceof NbdCodecError)) throw cause;
    throw new NbdError('PROTOCOL', `the NBD handshake failed: ${cause.message}`, { cause });
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function checkNames(names: readonly string[]): void {
  const long = names.find((name) => Buffer.byteLength(name) > NBD_MAX_STRING);
  if (long === undefined) return;
  const start = printable(long.slice(0, 40));
  throw new NbdError('USAGE', `the name "${start}…" is longer than the ${NBD_MAX_STRING} bytes that NBD allows`);
}

/** A refused option ends in good order, as the specification asks; anything else at once. */
function giveUp(transport: Transport, cause: unknown): void {
  if (cause instanceof NbdError && cause.reply !== undefined) {
    transport.write([encodeOption(NBD_OPT_ABORT)]);
    transport.leave();
  } else {
    transport.destroy();
  }
}

function timeout(timeoutMs: number): NbdError {
  return new NbdError('TIMEOUT', `the NBD server did not complete the handshake within ${timeoutMs} ms`);
}
