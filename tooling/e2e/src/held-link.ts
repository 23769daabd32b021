import { connect, createServer, type NetConnectOpts, type Socket } from 'node:net';

/** Milliseconds without a byte either way after which nothing more is to come. */
const QUIET_MS = 1_000;

/** A way to a server whose answers are held back once, in mid-transfer, until both sides wait for each other. */
export interface HeldLink extends AsyncDisposable {
  readonly port: number;
  /** Bytes that the server sent meanwhile: so many are on their way at one time where answers need their time. */
  readonly fromServer: number;
  /** Bytes that were sent to the server meanwhile. */
  readonly toServer: number;
}

/** Listens at 127.0.0.1. @param afterBytes how many pass, both ways together, before answers are held back */
export async function startHeldLink(server: NetConnectOpts, afterBytes: number): Promise<HeldLink> {
  const sockets = new Set<Socket>();
  const meanwhile = { fromServer: 0, toServer: 0 };
  let passed = 0;
  let state: 'before' | 'holding' | 'after' = 'before';
  let timer: NodeJS.Timeout | undefined;
  const kept: { readonly to: Socket; readonly bytes: Buffer }[] = [];
  const release = (): void => {
    state = 'after';
    for (const { to, bytes } of kept.splice(0)) to.write(bytes);
  };
  const count = (direction: keyof typeof meanwhile, bytes: number): void => {
    passed += bytes;
    if (state === 'before' && passed >= afterBytes) state = 'holding';
    if (state !== 'holding') return;
    meanwhile[direction] += bytes;
    clearTimeout(timer);
    timer = setTimeout(release, QUIET_MS);
  };
  const listener = createServer((near) => {
    const far = connect(server);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => other.destroy());
    }
    near.on('data', (bytes: Buffer) => {
      count('toServer', bytes.length);
      far.write(bytes);
    });
    far.on('data', (bytes: Buffer) => {
      count('fromServer', bytes.length);
      if (state === 'holding') kept.push({ to: near, bytes });
      else near.write(bytes);
    });
  });
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject).listen(0, '127.0.0.1', resolve);
  });
  const address = listener.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    get fromServer() {
      return meanwhile.fromServer;
    },
    get toServer() {
      return meanwhile.toServer;
    },
    [Symbol.asyncDispose]: async () => {
      clearTimeout(timer);
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}
