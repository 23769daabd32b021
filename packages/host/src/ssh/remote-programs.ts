import type { ChildProcess } from 'node:child_process';
import { constants } from 'node:os';
import { HostError } from '../errors.ts';
import type { ProgramExit, ProgramOutput, RunningProgram, RunOptions, StartOptions } from '../host.ts';
import {
  DEFAULT_MAX_OUTPUT,
  KEPT_STDERR,
  outputLimit,
  programFailed,
  programMissing,
  tookTooLong,
} from '../programs.ts';
import { Tail } from '../tail.ts';
import { SessionRefused } from './session-refused.ts';
import type { SshConnection } from './ssh-connection.ts';
import { NOT_RUN, SIGN_OF_LIFE_MS, STARTED, supervised } from './supervised.ts';

/** Milliseconds that a program there, and its watch, have to end before ssh's own client is ended here. */
const PATIENCE = 15_000;

/** What ssh's client says when the server opens no session more on a connection. */
const REFUSED = /^mux_client_request_session: .*session open refused/im;

/** See Host.run. */
export async function runRemote(
  connection: SshConnection,
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<ProgramOutput> {
  const { signal, timeoutMs, input, maxOutput = DEFAULT_MAX_OUTPUT } = options;
  signal?.throwIfAborted();
  const bytes = input === undefined ? undefined : Buffer.from(input);
  const words = supervised(program, args, { env: options.env, mode: 'once', input: bytes?.length });
  const child = new RemoteProgram(connection, program, words, bytes);
  const timeout = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
  child.stopOn(signal);
  child.stopOn(timeout);
  const stdout: Uint8Array[] = [];
  let length = 0;
  child.onOutput((chunk) => {
    length += chunk.length;
    if (length <= maxOutput) stdout.push(chunk);
    else void child.stop();
  });
  const exit = await child.exited;
  signal?.throwIfAborted();
  const stderr = child.stderr();
  if (length > maxOutput) throw outputLimit(program, maxOutput);
  if (timeout?.aborted) throw tookTooLong(program, timeoutMs ?? 0, stderr);
  if (exit.code === 0) return { stdout: Buffer.concat(stdout).toString('utf8'), stderr };
  throw await failure(connection, program, exit, stderr);
}

/** See Host.start. */
export async function startRemote(
  connection: SshConnection,
  program: string,
  args: readonly string[],
  options: StartOptions = {},
): Promise<RunningProgram> {
  options.signal?.throwIfAborted();
  const child = new RemoteProgram(connection, program, supervised(program, args, { env: options.env, mode: 'stay' }));
  child.stopOn(options.signal);
  const started = new Promise<number>((resolve) => {
    let text = '';
    child.onOutput((chunk) => {
      if (text.length < 4096) text += Buffer.from(chunk).toString('latin1');
      const pid = new RegExp(`^${STARTED} (\\d+)$`, 'm').exec(text)?.[1];
      if (pid !== undefined) resolve(Number(pid));
    });
  });
  const pid = await Promise.race([started, child.exited]);
  options.signal?.throwIfAborted();
  if (typeof pid !== 'number') throw await failure(connection, program, pid, child.stderr());
  child.pid = pid;
  return child;
}

async function failure(
  connection: SshConnection,
  program: string,
  exit: ProgramExit,
  stderr: string,
): Promise<unknown> {
  // What ssh's client itself ends with, when it cannot do its work.
  if (exit.code === 255 && REFUSED.test(stderr)) return new SessionRefused(connection.target, program, stderr);
  const lost = exit.code === 255 ? await connection.whyLost() : undefined;
  if (lost !== undefined) return lost;
  // A program may end with these codes, too.
  const notRun = stderr.split('\n').some((line) => line.startsWith(NOT_RUN));
  if (notRun && exit.code === 127) return programMissing(program);
  if (notRun && exit.code === 126)
    return new HostError('PERMISSION', `${program} may not be run; check its mode`, { program });
  return programFailed(program, exit, stderr);
}

/** A program on the other side, by the ssh client that holds its input and outputs. */
class RemoteProgram implements RunningProgram {
  readonly program: string;
  /** On the other side; 0 where it is not told. */
  pid = 0;
  readonly exited: Promise<ProgramExit>;
  readonly #client: ChildProcess;
  readonly #stderr = new Tail(KEPT_STDERR);
  readonly #signs: NodeJS.Timeout;
  #asked = false;

  constructor(connection: SshConnection, program: string, words: readonly string[], input?: Uint8Array) {
    this.program = program;
    const client = connection.command(words);
    this.#client = client;
    client.stdin?.on('error', () => undefined);
    client.stderr?.on('data', (chunk: Uint8Array) => this.#stderr.push(chunk)).on('error', () => undefined);
    client.stdout?.on('error', () => undefined);
    if (input !== undefined) client.stdin?.write(input);
    this.#signs = setInterval(() => client.stdin?.write('.'), SIGN_OF_LIFE_MS).unref();
    this.exited = new Promise((resolve) => {
      const finish = (code: number | null, signal: string | null) => {
        clearInterval(this.#signs);
        resolve({ ...exitOf(code, signal), stopped: this.#asked });
      };
      client.once('error', () => finish(255, null));
      client.once('close', finish);
    });
  }

  onOutput(listener: (chunk: Uint8Array) => void): void {
    this.#client.stdout?.on('data', listener);
  }

  /** Stops the program when the signal fires, and lets go of the signal when the program has ended. */
  stopOn(signal: AbortSignal | undefined): void {
    if (signal === undefined) return;
    const stop = () => void this.stop();
    signal.addEventListener('abort', stop, { once: true });
    void this.exited.then(() => signal.removeEventListener('abort', stop));
    if (signal.aborted) stop();
  }

  async stop(): Promise<void> {
    this.#asked = true;
    clearInterval(this.#signs);
    // The watch there sees the end of its input, and ends the program.
    this.#client.stdin?.end();
    const timer = setTimeout(() => this.#client.kill('SIGKILL'), PATIENCE);
    await this.exited;
    clearTimeout(timer);
  }

  stderr(): string {
    return this.#stderr.text();
  }
}

/** A shell tells a signal by 128 + its number. */
function exitOf(code: number | null, signal: string | null): Pick<ProgramExit, 'code' | 'signal'> {
  if (code === null || code <= 128 || code === 255) return { code, signal };
  const name = Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0];
  return name === undefined ? { code, signal } : { code: null, signal: name };
}
