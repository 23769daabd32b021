import { type ChildProcess, spawn } from 'node:child_process';
import { endingWithParent } from './end-with-parent.ts';
import { errnoOf, HostError, printable } from './errors.ts';
import type { ProgramExit, ProgramOutput, RunningProgram, RunOptions, StartOptions } from './host.ts';
import { Tail } from './tail.ts';

/** Bytes of standard error that are kept. */
export const KEPT_STDERR = 64 * 1024;
export const DEFAULT_MAX_OUTPUT = 16 * 1024 * 1024;
/** Milliseconds from SIGTERM to SIGKILL. */
const PATIENCE = 5_000;
/** Milliseconds that a dead program's output may still take to arrive; a child of its own may hold the pipe open. */
const DRAIN = 1_000;

/** See Host.run. */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<ProgramOutput> {
  const { signal, timeoutMs, input, maxOutput = DEFAULT_MAX_OUTPUT } = options;
  signal?.throwIfAborted();
  const child = await LocalProgram.spawn(program, args, options.env, input !== undefined);
  const timeout = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
  child.stopOn(signal);
  child.stopOn(timeout);
  const stdout: Uint8Array[] = [];
  let length = 0;
  child.onOutput((chunk) => {
    length += chunk.length;
    if (length <= maxOutput) stdout.push(chunk);
    else child.requestStop();
  });
  if (input !== undefined) child.feed(input);
  const { code, signal: endedBy } = await child.exited;
  signal?.throwIfAborted();
  if (length > maxOutput) throw outputLimit(program, maxOutput);
  const stderr = child.stderr();
  if (code === 0) return { stdout: Buffer.concat(stdout).toString('utf8'), stderr };
  if (timeout?.aborted) throw tookTooLong(program, timeoutMs ?? 0, stderr);
  throw programFailed(program, { code, signal: endedBy }, stderr);
}

/** See Host.start. */
export async function startProgram(
  program: string,
  args: readonly string[],
  options: StartOptions = {},
): Promise<RunningProgram> {
  options.signal?.throwIfAborted();
  const signal = options.killedWithParent === true ? 'KILL' : 'TERM';
  const commandLine = await endingWithParent(program, args, signal, options.env);
  options.signal?.throwIfAborted();
  const child = await LocalProgram.spawn(...commandLine, options.env, false, program);
  // Nobody reads it; a full pipe would stall the program.
  child.onOutput(() => undefined);
  child.stopOn(options.signal);
  return child;
}

/** What to say of a program that ended badly; without its arguments, which may hold secrets. */
export function programFailed(
  program: string,
  exit: { code: number | null; signal: string | null },
  stderr: string,
): HostError {
  const how = exit.signal === null ? `ended with exit code ${exit.code}` : `was ended by ${exit.signal}`;
  const said = stderr.trim().slice(-2000);
  return new HostError('PROGRAM_FAILED', `${program} ${how}${said === '' ? ' and said nothing' : `: ${said}`}`, {
    program,
    exitCode: exit.code ?? undefined,
    signal: exit.signal ?? undefined,
    stderr,
  });
}

export function outputLimit(program: string, maxOutput: number): HostError {
  return new HostError('OUTPUT_LIMIT', `${program} printed more than ${maxOutput} bytes; it was stopped`, { program });
}

export function tookTooLong(program: string, timeoutMs: number, stderr: string): HostError {
  return new HostError('TIMEOUT', `${program} did not end within ${timeoutMs} ms; it was stopped`, { program, stderr });
}

class LocalProgram implements RunningProgram {
  readonly program: string;
  readonly pid: number;
  readonly exited: Promise<ProgramExit>;
  readonly #child: ChildProcess;
  readonly #stderr = new Tail(KEPT_STDERR);
  #asked = false;

  static async spawn(
    program: string,
    args: readonly string[],
    env: StartOptions['env'],
    hasInput: boolean,
    name = program,
  ): Promise<LocalProgram> {
    try {
      // A process group of its own: Ctrl-C reaches us alone, and we end the program in good order, with its children.
      const child = spawn(program, args, {
        shell: false,
        detached: true,
        stdio: [hasInput ? 'pipe' : 'ignore', 'pipe', 'pipe'],
        env: { ...process.env, LC_ALL: 'C', ...env },
      });
      return await new Promise<LocalProgram>((resolve, reject) => {
        child.once('error', reject);
        child.once('spawn', () => {
          child.off('error', reject);
          resolve(new LocalProgram(name, child, child.pid ?? 0));
        });
      });
    } catch (error) {
      throw spawnError(program, error);
    }
  }

  private constructor(program: string, child: ChildProcess, pid: number) {
    this.program = program;
    this.pid = pid;
    this.#child = child;
    child.on('error', () => undefined); // a failed kill; `exit` still comes
    child.stderr?.on('data', (chunk: Uint8Array) => this.#stderr.push(chunk)).on('error', () => undefined);
    child.stdout?.on('error', () => undefined);
    endWithUs(this);
    this.exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        left(this);
        const finish = () => {
          clearTimeout(timer);
          child.stdout?.destroy();
          child.stderr?.destroy();
          resolve({ code, signal, stopped: this.#asked });
        };
        const timer = setTimeout(finish, DRAIN);
        child.once('close', finish);
      });
    });
  }

  onOutput(listener: (chunk: Uint8Array) => void): void {
    this.#child.stdout?.on('data', listener);
  }

  feed(input: Uint8Array | string): void {
    // A program may end without reading all of it; its exit code tells.
    this.#child.stdin?.on('error', () => undefined).end(input);
  }

  /** Stops the program when the signal fires, and lets go of the signal when the program has ended. */
  stopOn(signal: AbortSignal | undefined): void {
    if (signal === undefined) return;
    const stop = () => this.requestStop();
    signal.addEventListener('abort', stop, { once: true });
    this.exited.then(() => signal.removeEventListener('abort', stop));
    if (signal.aborted) stop();
  }

  requestStop(): void {
    if (this.#asked || this.#hasEnded()) return;
    this.#asked = true;
    this.kill('SIGTERM');
    const timer = setTimeout(() => this.kill('SIGKILL'), PATIENCE);
    this.exited.then(() => clearTimeout(timer));
  }

  async stop(): Promise<void> {
    this.requestStop();
    await this.exited;
  }

  stderr(): string {
    return this.#stderr.text();
  }

  kill(signal: NodeJS.Signals): void {
    // Once it is reaped its pid may belong to someone else.
    if (this.#hasEnded()) return;
    try {
      process.kill(-this.pid, signal);
    } catch {
      this.#child.kill(signal);
    }
  }

  #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }
}

const running = new Set<LocalProgram>();

function endWithUs(program: LocalProgram): void {
  if (running.size === 0) process.on('exit', endAll);
  running.add(program);
}

function left(program: LocalProgram): void {
  running.delete(program);
  if (running.size === 0) process.off('exit', endAll);
}

function endAll(): void {
  for (const program of running) program.kill('SIGTERM');
}

// Where Debian keeps what we run.
const packageOf: Readonly<Record<string, string>> = {
  'qemu-img': 'qemu-utils',
  'qemu-nbd': 'qemu-utils',
  'qemu-io': 'qemu-utils',
  nbdkit: 'nbdkit',
  nbdinfo: 'libnbd-bin',
  nbdcopy: 'libnbd-bin',
  ssh: 'openssh-client',
  virsh: 'libvirt-clients',
};

export function programMissing(
  program: string,
  fields: { errno?: string | undefined; cause?: unknown } = {},
): HostError {
  const from = packageOf[program];
  const hint = from === undefined ? 'install it, or check PATH' : `install it (Debian: apt-get install ${from})`;
  return new HostError('PROGRAM_MISSING', `${printable(program)} was not found; ${hint}`, { program, ...fields });
}

function spawnError(program: string, error: unknown): HostError {
  const errno = errnoOf(error);
  const fields = { program, errno, cause: error };
  const name = printable(program);
  if (errno === 'ENOENT') return programMissing(program, fields);
  if (errno === 'EACCES') return new HostError('PERMISSION', `${name} may not be run; check its mode`, fields);
  if (errno === 'ERR_INVALID_ARG_VALUE' || errno === 'E2BIG') {
    const why = errno === 'E2BIG' ? 'are too long' : 'hold a NUL byte';
    return new HostError('BAD_ARGUMENT', `cannot run ${name}: its arguments ${why}`, fields);
  }
  return new HostError('IO', `cannot run ${name}: ${error instanceof Error ? error.message : String(error)}`, fields);
}
