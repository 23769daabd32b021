import { connect, createServer, type Socket } from 'node:net';
import { pipeline } from 'node:stream';

/** A TCP port in front of a unix socket; dropping it looks like a network that fails. */
export interface Relay extends AsyncDisposable {
  readonly port: number;
  /** Connections that came so far. */
  readonly connections: number;
  /** Connections that are open. */
  readonly open: number;
  /** Cuts all connections. */
  drop(): void;
  /** Cuts one. */
  dropOne(): void;
}

/** @param options.cutAfter bytes from the server after which all connections are cut, once */
export async function startRelay(
  path: string,
  { host = '127.0.0.1', cutAfter = Number.POSITIVE_INFINITY }: { host?: string; cutAfter?: number } = {},
): Promise<Relay> {
  const sockets = new Set<Socket>();
  let connections = 0;
  let passed = 0;
  const drop = () => {
    for (const socket of sockets) socket.destroy();
  };
  const server = createServer((socket) => {
    connections++;
    sockets.add(socket);
    const inner = connect(path);
    inner.on('data', (bytes: Buffer) => {
      const before = passed;
      passed += bytes.byteLength;
      if (before < cutAfter && passed >= cutAfter) drop();
    });
    pipeline(socket, inner, socket, () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    get connections() {
      return connections;
    },
    get open() {
      return sockets.size;
    },
    drop,
    dropOne: () => [...sockets][0]?.destroy(),
    [Symbol.asyncDispose]: async () => {
      drop();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
