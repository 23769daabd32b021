import type { Socket } from 'node:net';
import { commandName, type Request } from '@virtnbd/nbd-protocol';
import type { Budget, ConnectionBudget } from './budget.ts';
import type { BufferPool } from './buffer-pool.ts';
import { Channel } from './channel.ts';
import { NbdServerError } from './errors.ts';
import type { ConnectionInfo, RequestInfo, ServerEvent } from './events.ts';
import type { ExportTable } from './export-table.ts';
import { Handshake } from './handshake.ts';
import type { Session } from './session.ts';
import type { ServerTls } from './tls.ts';
import { Transmission } from './transmission.ts';

/** How long a client may take to read the last replies after it has said good-bye, or the server has. */
const LINGER_MS = 5000;

/** What the connections of a server share. */
export interface Shared {
  readonly exports: ExportTable;
  readonly tls: ServerTls | undefined;
  readonly budget: Budget;
  readonly pool: BufferPool;
  readonly maxRequests: number;
  readonly handshakeTimeoutMs: number;
  readonly emit: (event: ServerEvent) => void;
  readonly onRequest: ((request: RequestInfo) => void) | undefined;
  /** Takes a connection that has ended off the list. @returns how many are left */
  readonly ended: (connection: Connection) => number;
}

/** One client, from the greeting to the end. */
export class Connection {
  readonly info: ConnectionInfo;
  readonly #socket: Socket;
  readonly #shared: Shared;
  readonly #budget: ConnectionBudget;
  readonly #gone = new AbortController();
  #channel: Channel;
  #session: Session | null = null;
  #transmission: Transmission | undefined;
  #error: Error | undefined;

  constructor(socket: Socket, info: ConnectionInfo, shared: Shared) {
    this.#socket = socket;
    this.info = info;
    this.#shared = shared;
    this.#budget = shared.budget.connection();
    this.#channel = new Channel(socket);
    socket.once('close', () => {
      const reason = new NbdServerError('PROTOCOL', 'the NBD client has gone');
      this.#gone.abort(reason);
      this.#budget.giveUp(reason);
    });
  }

  /** Resolves when the connection has ended and none of its requests is under way. Never rejects. */
  async serve(): Promise<void> {
    this.#shared.emit({ type: 'connected', connection: this.info });
    try {
      this.#session = await this.#shakeHands();
      if (this.#session !== null) await this.#transmit(this.#session);
      await this.#leave();
    } catch (error) {
      // Sends and budgets fail with the connection: then its own error tells more.
      if (!this.#gone.signal.aborted) this.#error ??= error instanceof Error ? error : new Error(String(error));
      this.#socket.destroy();
    }
    await this.#channel.closed;
    await this.#transmission?.idle();
    this.#tellEnd();
  }

  /** Takes no more requests; answers those that are under way, then ends. */
  finish(): void {
    if (this.#transmission === undefined) this.#socket.destroy();
    else this.#channel.stopReading();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  async #shakeHands(): Promise<Session | null> {
    const { exports, tls, handshakeTimeoutMs, emit } = this.#shared;
    const timer = setTimeout(() => {
      this.#error = new NbdServerError('TIMEOUT', `an NBD client took longer than ${handshakeTimeoutMs} ms to begin`);
      this.#socket.destroy();
    }, handshakeTimeoutMs);
    const handshake = new Handshake(this.#channel, {
      exports,
      ...(tls !== undefined && {
        secure: async () => {
          const secured = await tls.secure(this.#socket);
          this.#channel = new Channel(secured);
          return this.#channel;
        },
      }),
      openFailed: (exportName, error) =>
        emit({
          type: 'source-error',
          connection: this.info,
          exportName,
          command: 'open',
          offset: 0,
          length: 0,
          error,
        }),
    });
    try {
      return await handshake.run();
    } finally {
      clearTimeout(timer);
    }
  }

  async #transmit(session: Session): Promise<void> {
    const { emit, onRequest, pool, maxRequests } = this.#shared;
    const exportName = session.open.name;
    const { headers, tls } = session;
    emit({ type: 'opened', connection: this.info, exportName, readOnly: session.open.readOnly, tls, headers });
    this.#transmission = new Transmission(this.#channel, session, {
      budget: this.#budget,
      pool,
      maxRequests,
      signal: this.#gone.signal,
      sourceFailed: ({ command, offset, length }, error) => {
        const request = { command: commandName(command), offset, length };
        emit({ type: 'source-error', connection: this.info, exportName, ...request, error });
      },
      ...(onRequest !== undefined && {
        onRequest: (request: Request, header: Uint8Array) => {
          const { flags, offset, length } = request;
          const command = commandName(request.command);
          onRequest({ connection: this.info, exportName, command, flags, offset, length, header });
        },
      }),
    });
    await this.#transmission.run();
    await Promise.race([this.#transmission.idle(), this.#channel.closed]);
  }

  async #leave(): Promise<void> {
    const timer = setTimeout(() => this.#socket.destroy(), LINGER_MS);
    this.#channel.end();
    await this.#channel.closed;
    clearTimeout(timer);
  }

  #tellEnd(): void {
    const error = this.#error ?? this.#channel.error;
    const exportName = this.#session?.open.name;
    const left = this.#shared.ended(this);
    this.#shared.emit({
      type: 'disconnected',
      connection: this.info,
      ...(exportName !== undefined && { exportName }),
      ...(error !== undefined && { error }),
      left,
    });
  }
}
