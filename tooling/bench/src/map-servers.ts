import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startNbdkit } from '@virtnbd/test-kit';
import { type MapFolder, writeBlockMap } from './map-folders.ts';

const BIN = fileURLToPath(new URL('../../../apps/map/bin/virtnbdmap.js', import.meta.url));
const PLUGIN = '/usr/bin/virtnbd-nbdkit-plugin';

/** A server under measurement. */
export interface MapServer extends AsyncDisposable {
  readonly uri: string;
  /** The most memory that it has held, in MiB. */
  peak(): number;
}

/** Ours: the command itself. */
export async function startOurs({ folder }: MapFolder): Promise<MapServer> {
  const socket = `${folder}.sock`;
  const args = [BIN, '-i', folder, '--socket', socket, '-r', '-n', '-L', `${folder}.log`];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  const exited = new Promise((resolve) => child.once('close', resolve));
  const uri = await new Promise<string>((resolve, reject) => {
    child.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString().split('\n')[0] ?? ''));
    child.once('exit', (code) => reject(new Error(`virtnbdmap ended with ${code}`)));
  });
  return {
    uri,
    peak: () => peakOf(child.pid ?? 0),
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      await exited;
    },
  };
}

/** nbdkit with the established tool's plugin, as the established virtnbdmap runs it. */
export async function startEstablished(folder: MapFolder): Promise<MapServer> {
  const map = await writeBlockMap(folder);
  const filters = ['--filter=blocksize', '--filter=cow'];
  const data = join(folder.folder, 'vda.full.data');
  return nbdkit([...filters, 'python', PLUGIN, 'maxlen=4096', `blockmap=${map}`, `disk=${data}`, '-t', '1']);
}

/** nbdkit with its file plugin on the same disk as a raw image. */
export async function startFile({ image }: MapFolder): Promise<MapServer> {
  return nbdkit(['--readonly', 'file', image]);
}

async function nbdkit(args: readonly string[]): Promise<MapServer> {
  const server = await startNbdkit(args);
  return { uri: server.uri, peak: () => peakOf(server.pid), [Symbol.asyncDispose]: () => server.stop() };
}

function peakOf(pid: number): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
}
