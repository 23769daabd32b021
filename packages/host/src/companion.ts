import { type ChildProcess, spawn } from 'node:child_process';
import { HostError } from './errors.ts';
import type { ProgramExit } from './host.ts';
import { linesOf } from './lines.ts';
import { Tail } from './tail.ts';

/** Bytes of standard error that are kept. */
const KEPT_STDERR = 16 * 1024;

/**
 * A program on this machine that outlives us: it reads lines from us, and sees the end of its input when this process
 * ends, by whatever means, SIGKILL among them. What it does then is its own matter. It has a session of its own, so
 * that neither Ctrl-C nor the terminal's end reaches it.
 */
export interface Companion {
  readonly pid: number;
  /** Resolves when the line is in the pipe: it will be read even if this process dies in that moment. */
  say(line: string): Promise<void>;
  /** The next line that it prints; null when it prints no more. */
  hear(): Promise<string | null>;
  /** Ends its input. */
  end(): void;
  /** Resolves when it has ended; never rejects. */
  readonly exited: Promise<ProgramExit>;
  /** This process may end before it: it goes on alone. */
  leave(): void;
  /** The last 16 KiB of its standard error. */
  stderr(): string;
}

/** Starts a companion, without a shell. @throws HostError PROGRAM_MISSING, IO */
export async function startCompanion(program: string, args: readonly string[]): Promise<Companion> {
  const child = spawn(program, args, { shell: false, detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause: NodeJS.ErrnoException) => {
      const code = cause.code === 'ENOENT' ? 'PROGRAM_MISSING' : 'IO';
      reject(new HostError(code, `cannot run ${program}: ${cause.message}`, { program, cause }));
    });
  });
  return new ChildCompanion(program, child);
}

class ChildCompanion implements Companion {
  readonly pid: number;
  readonly exited: Promise<ProgramExit>;
  readonly #program: string;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string> | undefined;
  readonly #stderr = new Tail(KEPT_STDERR);

  constructor(program: string, child: ChildProcess) {
    this.#program = program;
    this.#child = child;
    this.pid = child.pid ?? 0;
    child.on('error', () => undefined);
    child.stdin?.on('error', () => undefined);
    child.stderr?.on('data', (chunk: Uint8Array) => this.#stderr.push(chunk)).on('error', () => undefined);
    if (child.stdout) this.#lines = linesOf(child.stdout);
    this.exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => resolve({ code, signal, stopped: false }));
    });
  }

  say(line: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#child.stdin?.write(`${line}\n`, (cause) => {
        if (!cause) return resolve();
        const text = `${this.#program} does not listen any more: ${cause.message}`;
        reject(new HostError('PROGRAM_FAILED', text, { program: this.#program, stderr: this.stderr(), cause }));
      });
    });
  }

  async hear(): Promise<string | null> {
    const next = await this.#lines?.next();
    return next === undefined || next.done ? null : next.value;
  }

  end(): void {
    this.#child.stdin?.end();
  }

  leave(): void {
    this.#child.unref();
    for (const stream of [this.#child.stdin, this.#child.stdout, this.#child.stderr])
      if (stream !== null && 'unref' in stream && typeof stream.unref === 'function') stream.unref();
  }

  stderr(): string {
    return this.#stderr.text();
  }
}
