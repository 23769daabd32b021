import { spawn } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { TestKitError } from './errors.ts';
import { findProgram, searchPath, signalIfRunning } from './programs.ts';
import { nbdUri } from './reference.ts';
import { tempFolder } from './temp-folder.ts';
import { waitFor } from './wait-for.ts';

export interface NbdServer extends AsyncDisposable {
  readonly socket: string;
  readonly pid: number;
  /** For qemu-img, nbdinfo and the like. */
  readonly uri: string;
  /** What the server printed so far. */
  output(): string;
  /** Ends the server (SIGTERM, later SIGKILL) and removes its socket. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** Servers that run on behalf of a test: no leftovers of what is tested. */
export const ownServers = new Set<number>();

export interface QemuNbdOptions {
  readonly format?: 'qcow2' | 'raw';
  /** A dirty bitmap of the image to offer. */
  readonly bitmap?: string;
  readonly readOnly?: boolean;
  readonly exportName?: string;
  readonly extra?: readonly string[];
}

/** `qemu-nbd` on a socket of its own, for any number of clients, until `stop()` or the end of this process. */
export async function startQemuNbd(image: string, options: QemuNbdOptions = {}): Promise<NbdServer> {
  return startServer('qemu-nbd', options.exportName ?? '', (socket, pidFile) => [
    '--persistent',
    '--shared=0',
    `--socket=${socket}`,
    `--pid-file=${pidFile}`,
    ...(options.format === undefined ? [] : [`--format=${options.format}`]),
    ...(options.bitmap === undefined ? [] : [`--bitmap=${options.bitmap}`]),
    ...(options.readOnly === true ? ['--read-only'] : []),
    ...(options.exportName === undefined ? [] : [`--export-name=${options.exportName}`]),
    ...(options.extra ?? []),
    image,
  ]);
}

/** `nbdkit` with a plugin and its arguments (`['--filter=delay', 'memory', '1M', 'rdelay=1']`). */
export async function startNbdkit(args: readonly string[], options: { exportName?: string } = {}): Promise<NbdServer> {
  return startServer('nbdkit', options.exportName ?? '', (socket, pidFile) => [
    '--foreground',
    '--exit-with-parent',
    '--unix',
    socket,
    '--pidfile',
    pidFile,
    ...(options.exportName === undefined ? [] : ['--exportname', options.exportName]),
    ...args,
  ]);
}

async function startServer(
  name: string,
  exportName: string,
  argsFor: (socket: string, pidFile: string) => readonly string[],
): Promise<NbdServer> {
  const program = findProgram(name);
  if (program === null) throw new TestKitError('PROGRAM_MISSING', `${name} is not installed`);
  const folder = await tempFolder();
  const socket = join(folder.path, 'nbd.sock');
  const pidFile = join(folder.path, 'pid');
  // With --pdeathsig the kernel ends the server when this process dies, however it dies.
  const args = ['--pdeathsig', 'KILL', '--', program, ...argsFor(socket, pidFile)];
  const child = spawn('setpriv', args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PATH: searchPath },
  });
  let output = '';
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-65_536);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => resolve());
    child.once('error', () => resolve());
  });
  const pid = child.pid ?? 0;
  ownServers.add(pid);
  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) signalIfRunning(pid, signal);
    const late = setTimeout(() => signalIfRunning(pid, 'SIGKILL'), 5000);
    await ended;
    clearTimeout(late);
    ownServers.delete(pid);
    await folder.remove();
  };
  try {
    await waitFor(
      async () => {
        if (child.exitCode !== null || child.signalCode !== null || pid === 0) {
          throw new TestKitError('PROGRAM_FAILED', `${name} ended at once: ${output.trim()}`, { output });
        }
        return ((await stat(pidFile).catch(() => null))?.size ?? 0) > 0; // written when it listens
      },
      { what: `The socket of ${name}`, intervalMs: 10 },
    );
  } catch (error) {
    await stop();
    throw error;
  }
  const uri = nbdUri(socket, exportName);
  return { socket, pid, uri, output: () => output, stop, [Symbol.asyncDispose]: () => stop() };
}
