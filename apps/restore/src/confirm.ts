import { createInterface } from 'node:readline/promises';
import { UsageError } from '@virtnbd/cli-kit';
import type { DiskTarget } from './disk-targets.ts';

/**
 * Asks before something that exists is overwritten.
 *
 * @throws UsageError when the answer is no, or nobody can be asked
 */
export async function confirmOverwrite(
  targets: readonly DiskTarget[],
  { yes, signal }: { yes: boolean; signal: AbortSignal },
): Promise<void> {
  if (targets.length === 0 || yes) return;
  const what = targets.map(({ disk, path }) => `${path} (disk ${disk})`).join(', ');
  if (!process.stdin.isTTY || !process.stderr.isTTY)
    throw new UsageError(`what is on ${what} would be lost, and there is no terminal to ask on; say --yes to go on`);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`What is on ${what} will be lost. Go on? [y/N] `, { signal });
    if (!/^y(es)?$/i.test(answer.trim())) throw new UsageError('not confirmed: nothing was written');
  } finally {
    terminal.close();
  }
}
