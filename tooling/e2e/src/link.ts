import { connect, createServer, type NetConnectOpts, type Socket } from 'node:net';

/** `NBD_REQUEST_MAGIC`, a request's length, and where its type is: NBD protocol, "Simple and compact request". */
const MAGIC = Buffer.from([0x25, 0x60, 0x95, 0x13]);
const REQUEST_BYTES = 28;
const TYPE_AT = 6;
const READ = 0;

/** A way to an NBD server on which answers may take their time, as over a wide area network. */
export interface Link extends AsyncDisposable {
  /** The most reads that were asked for between two pieces of answers: at least so many were in flight at one time. */
  readonly readsInFlight: number;
  readonly connections: number;
}

/** Listens at 127.0.0.1 on `port` and passes on to `server`. Reads are counted where no TLS hides them. */
export async function startLink(
  port: number,
  server: NetConnectOpts,
  { delayMs = 0 }: { readonly delayMs?: number } = {},
): Promise<Link> {
  const sockets = new Set<Socket>();
  let [connections, asked, most] = [0, 0, 0];
  const listener = createServer((near) => {
    connections += 1;
    const far = connect(server);
    const countReads = readCounter();
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => other.destroy());
    }
    near.on('data', (bytes: Buffer) => {
      asked += countReads(bytes);
      most = Math.max(most, asked);
      far.write(bytes);
    });
    // Timers of one length end in the order in which they were set.
    far.on('data', (bytes: Buffer) => {
      setTimeout(() => {
        asked = 0;
        near.write(bytes);
      }, delayMs);
    });
  });
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject).listen(port, '127.0.0.1', resolve);
  });
  return {
    get readsInFlight() {
      return most;
    },
    get connections() {
      return connections;
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}

/** Counts the reads in a stream of requests, however it is cut; the handshake before them has no request's magic. */
function readCounter(): (bytes: Buffer) => number {
  let rest = Buffer.alloc(0);
  return (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    let reads = 0;
    for (;;) {
      const at = rest.indexOf(MAGIC);
      if (at < 0) rest = rest.subarray(-(MAGIC.length - 1));
      if (at < 0 || rest.length < at + REQUEST_BYTES) return reads;
      if (rest.readUInt16BE(at + TYPE_AT) === READ) reads += 1;
      rest = rest.subarray(at + REQUEST_BYTES);
    }
  };
}
