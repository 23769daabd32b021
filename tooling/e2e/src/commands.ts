import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** Paths of the commands' entry files. */
export const bins = {
  virtnbdbackup: `${root}apps/backup/bin/virtnbdbackup.js`,
  virtnbd: `${root}apps/cli/bin/virtnbd.js`,
  virtnbdrestore: `${root}apps/restore/bin/virtnbdrestore.js`,
  virtnbdmap: `${root}apps/map/bin/virtnbdmap.js`,
} as const;

export interface CommandResult {
  /** null when a signal ended it. */
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningCommand {
  readonly pid: number;
  readonly ended: Promise<CommandResult>;
  kill(signal: NodeJS.Signals): void;
  /** All that the command has written to standard error so far. */
  stderr(): string;
}

/** Starts a command as a user would, on the node that runs the tests. */
export function start(name: keyof typeof bins, args: readonly string[], env: NodeJS.ProcessEnv = {}): RunningCommand {
  const child = spawn(process.execPath, [bins[name], ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<CommandResult>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  if (child.pid === undefined) throw new Error(`${name} did not start`);
  return { pid: child.pid, ended, kill: (signal) => child.kill(signal), stderr: () => stderr };
}

/** Runs a command to its end, whatever its exit code. */
export function run(
  name: keyof typeof bins,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<CommandResult> {
  return start(name, args, env).ended;
}

/** Runs a command that must succeed. */
export async function succeed(
  name: keyof typeof bins,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<CommandResult> {
  const result = await run(name, args, env);
  if (result.code !== 0)
    throw new Error(`${name} ${args.join(' ')} ended with ${result.code ?? result.signal}:\n${result.stderr}`);
  return result;
}
