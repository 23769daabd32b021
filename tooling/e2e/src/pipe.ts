import { spawn } from 'node:child_process';
import { bins } from './commands.ts';

export interface PipeResult {
  /** The backup's. */
  readonly code: number | null;
  readonly stderr: string;
}

/** Runs virtnbdbackup to standard output through a shell's pipe: `| reader`, a piece of shell. */
export async function pipe(
  args: readonly string[],
  reader: string,
  { cwd, env }: { readonly cwd: string; readonly env: NodeJS.ProcessEnv },
): Promise<PipeResult> {
  const script = `set -o pipefail; "$@" | ${reader}; exit "\${PIPESTATUS[0]}"`;
  const command = [process.execPath, bins.virtnbdbackup, ...args, '-o', '-'];
  const child = spawn('/bin/bash', ['-c', script, 'bash', ...command], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, stderr })));
}
