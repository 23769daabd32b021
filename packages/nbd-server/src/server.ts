import type { Server, Socket } from 'node:net';
import { Budget } from './budget.ts';
import { BufferPool } from './buffer-pool.ts';
import { Connection, type Shared } from './connection.ts';
import { NbdServerError } from './errors.ts';
import type { ConnectionInfo, RequestInfo, ServerEvent } from './events.ts';
import { ExportTable, type NbdExport } from './export-table.ts';
import { type ListenAddress, listen } from './listener.ts';
import { ServerTls, type ServerTlsOptions } from './tls.ts';
import { exportUri, type ServerAddress } from './uri.ts';

const MIB = 1024 * 1024;

/** How a server serves. */
export interface ServerOptions {
  exports: Iterable<NbdExport>;
  /** The export that a client gets who names none, where none has the name ''. */
  defaultExport?: string;
  /** Nothing goes without TLS then. */
  tls?: ServerTlsOptions;
  /** Clients at a time, 64 unless told; more are turned away. */
  maxConnections?: number;
  /** Requests of one client that are served at a time, 16 unless told; more wait. */
  maxRequests?: number;
  /**
   * Bytes for payloads of all clients together, 64 MiB unless told; 1 MiB comes on top for each client, so that none waits
   * for another one's.
   */
  maxMemory?: number;
  /** Time for the handshake, in milliseconds; 30 000 unless told. After it, a client may be idle for ever. */
  handshakeTimeoutMs?: number;
  /** What it throws is ignored. */
  onEvent?: (event: ServerEvent) => void;
  /** Every request, before it is judged: for a log. What it throws is ignored. */
  onRequest?: (request: RequestInfo) => void;
  /** Aborting it closes the server at once, without waiting for requests. */
  signal?: AbortSignal;
}

export interface CloseOptions {
  /** How long requests that are under way may still take, in milliseconds; 2000 unless told. */
  graceMs?: number;
}

/** An NBD server: fixed newstyle negotiation, any number of exports, over one unix socket or TCP port. */
export class NbdServer implements AsyncDisposable {
  readonly address: ServerAddress;
  readonly #server: Server;
  readonly #tls: boolean;
  readonly #shared: Shared;
  readonly #connections = new Map<Connection, Promise<void>>();
  #nextId = 1;
  #closing: Promise<void> | undefined;

  private constructor(server: Server, address: ServerAddress, shared: Omit<Shared, 'ended'>) {
    this.#server = server;
    this.address = address;
    this.#tls = shared.tls !== undefined;
    const ended = (connection: Connection) => {
      this.#connections.delete(connection);
      return this.#connections.size;
    };
    this.#shared = { ...shared, ended };
  }

  /**
   * Starts a server. It listens when the promise resolves.
   *
   * @throws NbdServerError `USAGE`, `ADDRESS_IN_USE` or `LISTEN`; the signal's reason where it has aborted
   */
  static async listen(address: ListenAddress, options: ServerOptions): Promise<NbdServer> {
    const { signal, maxConnections = 64 } = options;
    signal?.throwIfAborted();
    checkCount('maxConnections', maxConnections);
    const shared = sharedBy(options);
    const listening = await listen(address);
    listening.maxConnections = maxConnections;
    const server = new NbdServer(listening, addressOf(listening, address), shared);
    server.#accept();
    const stop = () => void server.close({ graceMs: 0 });
    signal?.addEventListener('abort', stop, { once: true });
    listening.once('close', () => signal?.removeEventListener('abort', stop));
    if (signal?.aborted) {
      await server.close({ graceMs: 0 });
      throw signal.reason;
    }
    return server;
  }

  /** The clients that are connected. */
  get connections(): readonly ConnectionInfo[] {
    return [...this.#connections.keys()].map(({ info }) => info);
  }

  /** The NBD URI of an export, for qemu-img, nbdcopy and the like; `nbds` with TLS. */
  uri(exportName = ''): string {
    return exportUri(this.address, exportName, this.#tls);
  }

  /**
   * Stops listening, removes the socket, answers the requests that are under way as far as `graceMs` lets it, and ends all
   * connections. The sources stay open. Never rejects; calling it again waits for the same end.
   */
  close(options: CloseOptions = {}): Promise<void> {
    this.#closing ??= this.#close(options.graceMs ?? 2000);
    if (options.graceMs === 0) for (const connection of this.#connections.keys()) connection.destroy();
    return this.#closing;
  }

  /** {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #accept(): void {
    this.#server.on('connection', (socket: Socket) => {
      if (this.#closing !== undefined) {
        socket.destroy();
        return;
      }
      const peer = peerName(socket.remoteAddress, socket.remotePort);
      const connection = new Connection(socket, { id: this.#nextId++, peer }, this.#shared);
      this.#connections.set(connection, connection.serve());
    });
    this.#server.on('drop', (data) => {
      this.#shared.emit({ type: 'refused', peer: peerName(data?.remoteAddress, data?.remotePort) });
    });
    // Accepting can fail for want of file descriptors: those who are connected are served on.
    this.#server.on('error', () => {});
  }

  async #close(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const served = [...this.#connections.values()];
    for (const connection of this.#connections.keys()) connection.finish();
    const timer = setTimeout(() => {
      for (const connection of this.#connections.keys()) connection.destroy();
    }, graceMs);
    await closed;
    clearTimeout(timer);
    // Sources have heard of the end through their signal: one that does not listen is not waited for.
    let late: NodeJS.Timeout | undefined;
    await Promise.race([
      Promise.all(served),
      new Promise((resolve) => {
        late = setTimeout(resolve, graceMs);
      }),
    ]);
    clearTimeout(late);
  }
}

function sharedBy(options: ServerOptions): Omit<Shared, 'ended'> {
  const { maxRequests = 16, maxMemory = 64 * MIB, handshakeTimeoutMs = 30_000, tls, onEvent, onRequest } = options;
  checkCount('maxRequests', maxRequests);
  checkCount('maxMemory', maxMemory);
  checkCount('handshakeTimeoutMs', handshakeTimeoutMs);
  return {
    exports: new ExportTable(options.exports, options.defaultExport ?? ''),
    tls: tls === undefined ? undefined : new ServerTls(tls),
    budget: new Budget(maxMemory, Math.max(MIB, maxMemory / 8)),
    pool: new BufferPool(maxMemory / 4),
    maxRequests,
    handshakeTimeoutMs,
    emit: onEvent === undefined ? () => {} : harmless(onEvent),
    onRequest: onRequest === undefined ? undefined : harmless(onRequest),
  };
}

/** A listener that throws must not end a client's connection. */
function harmless<T>(listener: (value: T) => void): (value: T) => void {
  return (value) => {
    try {
      listener(value);
    } catch {
      // its own affair
    }
  };
}

function checkCount(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 1) throw new NbdServerError('USAGE', `${name} must be a positive number`);
}

function addressOf(server: Server, asked: ListenAddress): ServerAddress {
  const address = server.address();
  if ('path' in asked) return { path: asked.path };
  if (address === null || typeof address === 'string') throw new NbdServerError('LISTEN', 'the server has no address');
  return { host: address.address, port: address.port };
}

function peerName(address: string | undefined, port: number | undefined): string {
  if (address === undefined) return 'unix';
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
