import { readFile, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { HostError, printable } from './errors.ts';
import type { WaitForSocketOptions } from './host.ts';
import { programFailed } from './programs.ts';

/** Bytes in sockaddr_un.sun_path, less the final NUL. */
const LONGEST_PATH = 107;
/** Flag of a listening socket in /proc/net/unix (__SO_ACCEPTCON). */
const LISTENING = 0x10000;
/** Milliseconds after which a socket file counts as ready that /proc/net/unix does not list under this path. */
const UNLISTED = 100;

/** What a host tells of its unix sockets. */
export interface SocketProbe {
  isSocket(path: string): Promise<boolean>;
  /** The text of /proc/net/unix. */
  table(): Promise<string>;
}

const local: SocketProbe = {
  isSocket: (path) =>
    stat(path).then(
      (stats) => stats.isSocket(),
      () => false,
    ),
  table: () => readFile('/proc/net/unix', 'utf8').catch(() => ''),
};

/** See Host.waitForSocket. */
export async function waitForSocket(path: string, options: WaitForSocketOptions = {}): Promise<void> {
  await waitForListener(path, options, local);
}

/** The same, on a host that `probe` looks at. */
export async function waitForListener(
  path: string,
  options: WaitForSocketOptions = {},
  probe: SocketProbe,
): Promise<void> {
  const { signal, timeoutMs = 30_000, program } = options;
  signal?.throwIfAborted();
  if (Buffer.byteLength(path) > LONGEST_PATH) {
    const text = `the socket path ${printable(path)} is longer than ${LONGEST_PATH} bytes; choose a shorter folder`;
    throw new HostError('BAD_NAME', text, { path });
  }
  const stopPolling = new AbortController();
  const ended = program?.exited.then((exit) => {
    throw programFailed(program.program, exit, program.stderr());
  });
  try {
    const ready = poll(
      probe,
      path,
      timeoutMs,
      signal ? AbortSignal.any([signal, stopPolling.signal]) : stopPolling.signal,
    );
    await (ended === undefined ? ready : Promise.race([ended, ready]));
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    stopPolling.abort();
    ended?.catch(() => undefined);
  }
}

async function poll(probe: SocketProbe, path: string, timeoutMs: number, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  let seenAt: number | undefined;
  for (let pause = 2; ; pause = Math.min(pause * 1.5, 50)) {
    if (await probe.isSocket(path)) {
      const state = socketState(await probe.table(), path);
      seenAt ??= performance.now();
      if (state === 'listening' || (state === 'unlisted' && performance.now() - seenAt >= UNLISTED)) return;
    } else seenAt = undefined;
    if (performance.now() >= deadline) {
      const text = `no server listens on ${printable(path)} after ${timeoutMs} ms`;
      throw new HostError('TIMEOUT', text, { path });
    }
    // A race that is over swallows this rejection: Promise.race has a handler on it.
    await sleep(pause, undefined, { signal });
  }
}

/**
 * `Num RefCount Protocol Flags Type St Inode Path` a line. A server that bound a relative path, or lives in another
 * network namespace, is not listed under this path.
 */
function socketState(table: string, path: string): 'bound' | 'listening' | 'unlisted' {
  let state: 'bound' | 'unlisted' = 'unlisted';
  for (const line of table.split('\n')) {
    if (!line.endsWith(` ${path}`)) continue;
    if ((Number.parseInt(line.split(' ')[3] ?? '', 16) & LISTENING) !== 0) return 'listening';
    state = 'bound';
  }
  return state;
}
