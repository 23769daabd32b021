import { spawn } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { TestKitError } from './errors.ts';

/** PATH with the sbin folders, which an ordinary user of Debian does not have. */
export const searchPath: string = [
  ...new Set([
    // Not node_modules/.bin: commands of ours have the names of the established ones.
    ...(process.env.PATH ?? '').split(delimiter).filter((folder) => !folder.includes('node_modules')),
    '/usr/local/sbin',
    '/usr/sbin',
    '/sbin',
    '/usr/bin',
    '/bin',
  ]),
]
  .filter((folder) => folder !== '')
  .join(delimiter);

/** The full path of a program, or null. */
export function findProgram(name: string): string | null {
  for (const folder of searchPath.split(delimiter)) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // look in the next folder
    }
  }
  return null;
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Default 120 000 ms; then SIGKILL and a TIMEOUT error. */
  readonly timeoutMs?: number;
}

export interface RunResult {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. Rejects with PROGRAM_MISSING, PROGRAM_FAILED (exit code not 0) or TIMEOUT. */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, PATH: searchPath, ...options.env },
      cwd: options.cwd,
    });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    let late = false;
    const timeoutMs = options.timeoutMs ?? 120_000;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
    child.stdin.on('error', () => {}); // a program may end without reading its input: its exit code tells
    child.stdin.end(options.input);
    child.on('error', (cause: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      if (cause.code === 'ENOENT') {
        reject(new TestKitError('PROGRAM_MISSING', `${program} is not installed`, { cause }));
      } else {
        reject(new TestKitError('PROGRAM_FAILED', `${program} cannot be started: ${cause.message}`, { cause }));
      }
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const result = { stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() };
      if (code === 0) return resolve(result);
      const said = (result.stderr.trim() || result.stdout.trim()).slice(-4000);
      const what = `${program} ${args.join(' ')}`;
      const details = { output: said, ...(code === null ? {} : { exitCode: code }) };
      if (late) reject(new TestKitError('TIMEOUT', `${what} took longer than ${timeoutMs} ms\n${said}`, details));
      else reject(new TestKitError('PROGRAM_FAILED', `${what} failed (${code ?? signal}): ${said}`, details));
    });
  });
}

/** True while the process exists and is not a zombie. */
export function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.charAt(stat.lastIndexOf(')') + 2) !== 'Z';
  } catch {
    return false;
  }
}

/** Sends a signal; false when the process has ended. */
export function signalIfRunning(pid: number, signal: NodeJS.Signals): boolean {
  if (!isRunning(pid)) return false;
  try {
    return process.kill(pid, signal);
  } catch {
    return false; // ended meanwhile
  }
}

/** The arguments of a process; empty when it has ended or may not be read. */
export function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  } catch {
    return [];
  }
}
