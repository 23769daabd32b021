import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { commandLine, run, type TempFolder, tempFolder, waitFor } from '@virtnbd/test-kit';

const bin = fileURLToPath(new URL('../bin/virtnbdmap.js', import.meta.url));

/** A virtnbdmap that runs, with a runtime folder, scratch folder and log of its own. */
export class RunningMap implements AsyncDisposable {
  readonly place: TempFolder;
  readonly #child: ChildProcess;
  readonly #exited: Promise<number>;
  #stdout = '';
  #stderr = '';

  private constructor(place: TempFolder, child: ChildProcess) {
    this.place = place;
    this.#child = child;
    child.stdout?.on('data', (chunk) => (this.#stdout += String(chunk)));
    child.stderr?.on('data', (chunk) => (this.#stderr += String(chunk)));
    this.#exited = new Promise((resolve) => child.once('close', (code) => resolve(code ?? -1)));
  }

  /** Starts the command and waits until it is ready, or has ended. */
  static async start(...args: readonly string[]): Promise<RunningMap> {
    const place = await tempFolder('vn-map-');
    const all = [...args, '-L', `${place.path}/log`, '--scratchdir', place.path, '--nocolor', '-n'];
    const env = { ...process.env, XDG_RUNTIME_DIR: place.path };
    const child = spawn(process.execPath, [bin, ...all], { stdio: ['ignore', 'pipe', 'pipe'], env });
    const started = new RunningMap(place, child);
    await waitFor(() => started.stderr.includes('ready') || child.exitCode !== null, { what: 'virtnbdmap is ready' });
    return started;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** The first line of standard output: the URI, the folder or the device. */
  get mapped(): string {
    return this.#stdout.split('\n')[0] ?? '';
  }

  log(): string {
    return readFileSync(`${this.place.path}/log`, 'utf8');
  }

  /** The exit code; -1 after a signal. */
  async exit(): Promise<number> {
    return await this.#exited;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** A process that it has started, by a word of its command line. */
  part(word: string): number {
    const pid = descendants(this.pid).find((each) => commandLine(each).some((argument) => argument.includes(word)));
    if (pid === undefined) throw new Error(`no part of virtnbdmap has ${word} in its command line`);
    return pid;
  }

  /** Mounts, loop devices, private folders and sockets of it. */
  async traces(): Promise<string[]> {
    const { stdout: mounts } = await run('findmnt', ['--list', '--noheadings', '--output', 'TARGET']);
    const { stdout: loops } = await run('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE']);
    const lines = [...mounts.split('\n'), ...loops.split('\n')].filter((line) => line.includes(this.place.path));
    return [...lines, ...(await readdir(this.place.path)).filter((name) => name !== 'log')];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill('SIGTERM');
    await this.#exited;
    await waitFor(async () => (await this.traces()).length === 0, { what: 'nothing is left of virtnbdmap' });
    await this.place.remove();
  }
}

function descendants(pid: number): number[] {
  const parents = readdirSync('/proc').flatMap((name): [pid: number, parent: number][] => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      return [[Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])]];
    } catch {
      return [];
    }
  });
  const below = (of: number): number[] =>
    parents.flatMap(([child, parent]) => (parent === of ? [child, ...below(child)] : []));
  return below(pid);
}
