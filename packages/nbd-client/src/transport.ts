import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { NBD_DEFAULT_PORT } from '@virtnbd/nbd-protocol';
import { NbdError } from './errors.ts';

/** Where a server listens: a unix socket, or TCP (port 10809 unless told). */
export type NbdAddress = { path: string } | { host: string; port?: number };

/** What the socket reports. `bytes` belong to the receive buffer, which the next read overwrites. */
export interface TransportEvents {
  data(bytes: Uint8Array): void;
  /** The socket takes writes again, after {@link Transport.congested} was true. */
  drain(): void;
  /** Called once; without an error when the server ended the connection in good order. */
  closed(error?: Error): void;
}

/** Large enough to empty the kernel's socket buffer in one read. */
const RECEIVE_BUFFER = 512 * 1024;
/** Unsent bytes in node's own queue above which nothing more is handed to the socket. */
const CONGESTED = 1024 * 1024;
/** Pieces up to this size are cheaper to copy together than to send as a list. */
const SMALL = 1024;

/** A socket that reads into one reused buffer, so that a payload is copied once: from there into its target. */
export class Transport {
  readonly #socket: Socket;
  #events: TransportEvents | undefined;
  #error: Error | undefined;
  #ended = false;

  private constructor(address: NbdAddress) {
    const buffer = Buffer.allocUnsafeSlow(RECEIVE_BUFFER);
    const options: NetConnectOpts = {
      ...('path' in address ? { path: address.path } : { host: address.host, port: address.port ?? NBD_DEFAULT_PORT }),
      noDelay: true,
      keepAlive: true,
      onread: {
        buffer,
        callback: (length) => {
          this.#events?.data(buffer.subarray(0, length));
          return true;
        },
      },
    };
    this.#socket = connect(options);
    this.#socket.on('error', (error) => {
      this.#error ??= error;
    });
    this.#socket.on('drain', () => this.#events?.drain());
    // The server has ended its side: no reply can come any more, so the socket is of no use.
    this.#socket.on('end', () => this.#socket.destroy());
    this.#socket.on('close', () => {
      this.#ended = true;
      this.#events?.closed(this.#error);
    });
  }

  /** @throws NbdError `CONNECT`, or `USAGE` for a port or path that cannot be; the signal's reason when it aborts */
  static async open(address: NbdAddress, signal: AbortSignal): Promise<Transport> {
    signal.throwIfAborted();
    const transport = Transport.#begin(address);
    const socket = transport.#socket;
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

  static #begin(address: NbdAddress): Transport {
    try {
      return new Transport(address);
    } catch (cause) {
      throw new NbdError('USAGE', `no address of an NBD server: ${JSON.stringify(address)}`, { cause });
    }
  }

  /** Sets who hears from the socket; nothing is lost where it had closed before. */
  listen(events: TransportEvents): void {
    this.#events = events;
    if (this.#ended) events.closed(this.#error);
  }

  /** Hands all pieces to the kernel in one call where it can. They must not change until it has taken them. */
  write(pieces: readonly Uint8Array[]): void {
    if (pieces.every((piece) => piece.byteLength <= SMALL)) {
      this.#socket.write(Buffer.concat(pieces));
      return;
    }
    this.#socket.cork();
    for (const piece of pieces) this.#socket.write(piece);
    this.#socket.uncork();
  }

  /** Whether the server takes the bytes more slowly than they come: wait for `drain`. */
  get congested(): boolean {
    return this.#socket.writableNeedDrain && this.#socket.writableLength > CONGESTED;
  }

  /** Sends what is queued, then ends this side. */
  end(): void {
    this.#socket.end();
  }

  /** Sends what is queued, then drops the connection without waiting for the server. */
  leave(): void {
    this.#socket.destroySoon();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

function connectError(address: NbdAddress, cause: Error | undefined): NbdError {
  const where = 'path' in address ? address.path : `${address.host} port ${address.port ?? NBD_DEFAULT_PORT}`;
  const why = cause === undefined ? 'the connection was closed' : reason(cause);
  return new NbdError('CONNECT', `cannot connect to the NBD server at ${where}: ${why}`, { cause });
}

/** A host name with several addresses fails with one error for each, and no message of its own. */
function reason(error: Error): string {
  return error instanceof AggregateError ? error.errors.map(String).join('; ') : error.message;
}
