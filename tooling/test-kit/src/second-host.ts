import { type ChildProcess, spawn } from 'node:child_process';
import { readlink } from 'node:fs/promises';
import { TestKitError } from './errors.ts';
import { findProgram, run, searchPath, signalIfRunning } from './programs.ts';
import { Random } from './random.ts';
import { waitFor } from './wait-for.ts';

/** Another host, as far as the network goes: an address of its own, behind a link that can be taken down. */
export interface SecondHost extends AsyncDisposable {
  readonly address: string;
  /** Words before a command line that make it run there. */
  readonly within: readonly string[];
  /** Nothing goes through any more, and nobody is told. */
  linkDown(): Promise<void>;
  linkUp(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * A network namespace with a virtual cable to it; needs root. It is gone with the last process in it, and this test process
 * takes them along, however it ends.
 */
export async function startSecondHost(): Promise<SecondHost> {
  if (process.getuid?.() !== 0 || findProgram('ip') === null)
    throw new TestKitError('PROGRAM_MISSING', 'A second host needs root and the program ip (apt-get install iproute2)');
  const random = new Random(process.pid ^ Date.now());
  const number = random.integer(0, 0x3fff);
  // 198.18.0.0/15 is for tests of networks (RFC 2544): nobody else is there.
  const base = `198.${18 + (number >> 13)}.${(number >> 6) & 0x7f}`;
  const last = (number & 0x3f) * 4;
  const [here, there] = [`${base}.${last + 1}`, `${base}.${last + 2}`];
  const link = `vn${number.toString(16)}-${process.pid % 10_000}`;
  const holder = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'unshare', '--net', 'sleep', 'infinity'], {
    stdio: 'ignore',
    env: { ...process.env, PATH: searchPath },
  });
  const pid = await inNamespace(holder);
  const within = ['nsenter', '--target', String(pid), '--net', '--'];
  const ip = (...args: readonly string[]) => run('ip', args);
  const ipThere = (...args: readonly string[]) => run('nsenter', [...within.slice(1), 'ip', ...args]);
  const stop = async (): Promise<void> => {
    await ip('link', 'del', link).catch(() => undefined);
    signalIfRunning(pid, 'SIGKILL');
  };
  try {
    await ip('link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(pid));
    await ip('addr', 'add', `${here}/30`, 'dev', link);
    await ip('link', 'set', link, 'up');
    await ipThere('addr', 'add', `${there}/30`, 'dev', 'eth0');
    await ipThere('link', 'set', 'eth0', 'up');
    await ipThere('link', 'set', 'lo', 'up');
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    address: there,
    within,
    linkDown: async () => void (await ipThere('link', 'set', 'eth0', 'down')),
    linkUp: async () => void (await ipThere('link', 'set', 'eth0', 'up')),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** Waits until the process has its own network namespace. */
async function inNamespace(holder: ChildProcess): Promise<number> {
  const { pid } = holder;
  if (pid === undefined) throw new TestKitError('DAEMON', 'no network namespace can be made');
  const own = await readlink('/proc/self/ns/net');
  await waitFor(async () => (await readlink(`/proc/${pid}/ns/net`).catch(() => own)) !== own, {
    what: 'The network namespace',
  });
  return pid;
}
