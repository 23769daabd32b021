import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/**
 * Runs a command of the established tool, as Debian packages it: by its path, because commands of ours have the same
 * names. Rejects when it fails.
 */
export async function established(
  name: 'virtnbdbackup' | 'virtnbdrestore',
  args: readonly string[],
): Promise<{ stdout: string; stderr: string }> {
  return execute(`/usr/bin/${name}`, [...args], { maxBuffer: 1 << 26 });
}
