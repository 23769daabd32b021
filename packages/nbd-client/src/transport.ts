import { connect, type NetConnectOpts, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { NBD_DEFAULT_PORT } from '@virtnbd/nbd-protocol';
import { describeAddress, type NbdAddress } from './address.ts';
import { NbdError } from './errors.ts';
import { type NbdTlsOptions, secureStream } from './tls.ts';

/** What the stream reports. `bytes` belong to the receive buffer, which the next read overwrites. */
export interface TransportEvents {
  data(bytes: Uint8Array): void;
  /**
   * Where the next bytes may be received: memory of its own, or a part of the receive buffer that it is shown; all of
   * that where it does not say.
   */
  place?(buffer: Uint8Array): Uint8Array;
  /** So many bytes were received into memory of its own. */
  placed?(length: number): void;
  /** The stream takes writes again, after {@link Transport.congested} was true. */
  drain(): void;
  /** Called once; without an error when the server ended the connection in good order. */
  closed(error?: Error): void;
}

/** Large enough to empty the kernel's socket buffer in one read. */
const RECEIVE_BUFFER = 512 * 1024;
/** Unsent bytes in node's own queue above which nothing more is handed to the stream. */
const CONGESTED = 1024 * 1024;
/** Pieces up to this size are cheaper to copy together than to send as a list. */
const SMALL = 1024;

/**
 * A stream of bytes to the server and back. A socket of our own reads into one reused buffer, so that a payload is copied
 * once: from there into its target; or straight into the target, where that may be. TLS and streams of others bring buffers of their own.
 */
export class Transport {
  readonly #stream: Duplex;
  readonly #onData: ((bytes: Uint8Array) => void) | undefined;
  #events: TransportEvents | undefined;
  #error: Error | undefined;
  #ended = false;

  private constructor(open: (receiver: Receiver) => { stream: Duplex; pushes: boolean }) {
    const onRead = (bytes: Uint8Array) => this.#events?.data(bytes);
    const { stream, pushes } = open({
      data: onRead,
      place: (buffer) => this.#events?.place?.(buffer) ?? buffer,
      placed: (length) => this.#events?.placed?.(length),
    });
    this.#stream = stream;
    this.#onData = pushes ? undefined : onRead;
    stream.on('error', (error) => {
      this.#error ??= error;
    });
    stream.on('drain', () => this.#events?.drain());
    // The server has ended its side: no reply can come any more, so the stream is of no use.
    stream.on('end', () => stream.destroy());
    stream.on('close', () => {
      this.#ended = true;
      this.#events?.closed(this.#error);
    });
  }

  /**
   * @param keepAliveMs how long a TCP connection is idle before the system asks whether the other side is there
   * @throws NbdError `CONNECT`, or `USAGE` for a port or path that cannot be; the signal's reason when it aborts
   */
  static async open(address: NbdAddress, options: { signal: AbortSignal; keepAliveMs: number }): Promise<Transport> {
    const { signal, keepAliveMs } = options;
    signal.throwIfAborted();
    if ('stream' in address) return Transport.#over(address.stream);
    const { transport, socket } = Transport.#dial(address, keepAliveMs);
    await new Promise<void>((resolve, reject) => {
      const abort = () => {
        socket.destroy();
        reject(signal.reason);
      };
      const settle = (then: () => void) => () => {
        signal.removeEventListener('abort', abort);
        then();
      };
      socket.once('connect', settle(resolve));
      socket.once(
        'close',
        settle(() => reject(connectError(address, transport.#error))),
      );
      signal.addEventListener('abort', abort, { once: true });
    });
    return transport;
  }

  static #dial(address: NbdAddress, keepAliveMs: number): { transport: Transport; socket: Socket } {
    try {
      let socket: Socket | undefined;
      const transport = new Transport((receiver) => {
        socket = connect(dialOptions(address, keepAliveMs, receiver));
        return { stream: socket, pushes: true };
      });
      if (socket === undefined) throw new Error('no socket');
      return { transport, socket };
    } catch (cause) {
      throw new NbdError('USAGE', `no address of an NBD server: ${JSON.stringify(address)}`, { cause });
    }
  }

  static #over(stream: Duplex): Transport {
    if (stream.destroyed || !stream.readable || !stream.writable) {
      throw new NbdError('CONNECT', 'the stream to the NBD server has ended, or is not open both ways');
    }
    return new Transport(() => ({ stream, pushes: false }));
  }

  /**
   * TLS over this transport, which reports nothing any more.
   *
   * @throws NbdError `TLS` or `USAGE`; the signal's reason when it aborts
   */
  async secure(tls: NbdTlsOptions, address: NbdAddress, signal: AbortSignal): Promise<Transport> {
    this.#events = undefined;
    if (this.#onData !== undefined) this.#stream.off('data', this.#onData);
    const stream = await secureStream(this.#stream, tls, address, signal);
    return new Transport(() => ({ stream, pushes: false }));
  }

  /** Sets who hears from the stream; nothing is lost where it had closed before. */
  listen(events: TransportEvents): void {
    const first = this.#events === undefined;
    this.#events = events;
    if (first && this.#onData !== undefined) this.#stream.on('data', this.#onData);
    if (this.#ended) events.closed(this.#error);
  }

  /** Hands all pieces to the kernel in one call where it can. They must not change until it has taken them. */
  write(pieces: readonly Uint8Array[]): void {
    if (this.#stream.destroyed) return;
    if (pieces.every((piece) => piece.byteLength <= SMALL)) {
      this.#stream.write(Buffer.concat(pieces));
      return;
    }
    this.#stream.cork();
    for (const piece of pieces) this.#stream.write(piece);
    this.#stream.uncork();
  }

  /** Whether the server takes the bytes more slowly than they come: wait for `drain`. */
  get congested(): boolean {
    return this.#stream.writableNeedDrain && this.#stream.writableLength > CONGESTED;
  }

  /** Sends what is queued, then ends this side. */
  end(): void {
    this.#stream.end();
  }

  /** Sends what is queued, then drops the connection without waiting for the server. */
  leave(): void {
    this.#stream.end(() => this.#stream.destroy());
  }

  destroy(): void {
    this.#stream.destroy();
  }
}

type Receiver = Required<Pick<TransportEvents, 'data' | 'place' | 'placed'>>;

function dialOptions(address: NbdAddress, keepAliveMs: number, receiver: Receiver): NetConnectOpts {
  const own = Buffer.allocUnsafeSlow(RECEIVE_BUFFER);
  let into: Uint8Array = own;
  const onread = {
    // Asked before each read.
    buffer: () => {
      into = receiver.place(own);
      return into;
    },
    callback: (length: number) => {
      if (into.buffer === own.buffer) receiver.data(into.subarray(0, length));
      else receiver.placed(length);
      return true;
    },
  };
  const common = { noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveMs, onread };
  if ('path' in address) return { path: address.path, ...common };
  if ('host' in address) return { host: address.host, port: address.port ?? NBD_DEFAULT_PORT, ...common };
  throw new Error('an open stream is not dialled');
}

function connectError(address: NbdAddress, cause: Error | undefined): NbdError {
  const why = cause === undefined ? 'the connection was closed' : reason(cause);
  return new NbdError('CONNECT', `cannot connect to the NBD server at ${describeAddress(address)}: ${why}`, { cause });
}

/** A host name with several addresses fails with one error for each, and no message of its own. */
function reason(error: Error): string {
  return error instanceof AggregateError ? error.errors.map(String).join('; ') : error.message;
}
