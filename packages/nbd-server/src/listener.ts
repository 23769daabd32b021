import { connect, createServer, type ListenOptions, type Server } from 'node:net';
import { NBD_DEFAULT_PORT } from '@virtnbd/nbd-protocol';
import { NbdServerError } from './errors.ts';

/** What is needed of a file system to replace a dead socket. */
export interface SocketFiles {
  /** `kind` must be `socket` for a unix socket: nothing else is ever removed. */
  stat(path: string): Promise<{ readonly kind: string } | null>;
  remove(path: string): Promise<void>;
}

/** Where to listen: a unix socket, or TCP. */
export type ListenAddress = UnixAddress | TcpAddress;

export interface UnixAddress {
  /** At most 107 bytes; nothing may be there. One that begins with NUL is in Linux's abstract namespace, open to all users. */
  path: string;
  /** Permission bits of the socket, from the moment on when it is there; 0o600 unless told. */
  mode?: number;
  /** With it, a socket at the path that no server listens on any more is replaced. */
  files?: SocketFiles;
}

export interface TcpAddress {
  /** 127.0.0.1 unless told. */
  host?: string;
  /** 10809 unless told; 0 for any that is free. */
  port?: number;
}

/** Linux: the size of sun_path, less the NUL at its end. */
const LONGEST_PATH = 107;

/**
 * Listens.
 *
 * @throws NbdServerError `USAGE`, `ADDRESS_IN_USE` or `LISTEN`
 */
export async function listen(address: ListenAddress): Promise<Server> {
  if (!('path' in address)) {
    return bind({ host: address.host ?? '127.0.0.1', port: address.port ?? NBD_DEFAULT_PORT });
  }
  const { path, mode = 0o600, files } = address;
  if (path === '' || Buffer.byteLength(path) > LONGEST_PATH || path.indexOf('\0', 1) >= 0) {
    throw new NbdServerError('USAGE', `a unix socket's path has 1 to ${LONGEST_PATH} bytes and no NUL: ${path}`);
  }
  try {
    return await bind({ path }, mode);
  } catch (error) {
    const taken = error instanceof NbdServerError && error.code === 'ADDRESS_IN_USE';
    if (!taken || files === undefined || !(await isDead(path, files))) throw error;
  }
  await files.remove(path);
  return bind({ path }, mode);
}

/** Whether a socket is there that nobody listens on. */
async function isDead(path: string, files: SocketFiles): Promise<boolean> {
  // Linux refuses a connection to a plain file in the same way: that one must stay.
  if ((await files.stat(path))?.kind !== 'socket') return false;
  return new Promise((resolve) => {
    const probe = connect({ path });
    probe.once('connect', () => {
      probe.destroy();
      resolve(false);
    });
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  });
}

async function bind(where: ListenOptions, mode?: number): Promise<Server> {
  const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 });
  const name = where.path?.replace(/^\0/, '@') ?? `${where.host} port ${where.port}`;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(listenError(name, cause)));
    try {
      listenWithMode(server, where, mode, resolve);
    } catch (cause) {
      reject(new NbdServerError('LISTEN', `cannot listen at ${name}`, { cause }));
    }
  });
  return server;
}

/** The socket is made inside of `listen`, before it returns: there is no moment in which others could connect to it. */
function listenWithMode(server: Server, where: ListenOptions, mode: number | undefined, done: () => void): void {
  if (mode === undefined) {
    server.listen(where, done);
    return;
  }
  const before = process.umask(0o777 & ~mode);
  try {
    server.listen(where, done);
  } finally {
    process.umask(before);
  }
}

function listenError(name: string, cause: NodeJS.ErrnoException): NbdServerError {
  // What node says of a folder that does not exist, too.
  if (cause.code === 'EACCES' && name.startsWith('/')) {
    const text = `cannot listen at ${name}: its folder does not exist, or you may not write there`;
    return new NbdServerError('LISTEN', text, { cause });
  }
  if (cause.code !== 'EADDRINUSE') {
    return new NbdServerError('LISTEN', `cannot listen at ${name}: ${cause.message}`, { cause });
  }
  const what = `cannot listen at ${name}: it is taken. Choose another, or remove it where no server uses it`;
  return new NbdServerError('ADDRESS_IN_USE', what, { cause });
}
