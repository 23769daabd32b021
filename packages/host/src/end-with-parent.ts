import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

/**
 * Begins when the kernel knows that the program goes with this process. Who died before that would not be missed by it,
 * but is by the shell: its parent is another one then. Nothing of the arguments is read as shell text.
 */
const UNLESS_ORPHANED = 'test "$PPID" -eq "$1" || exit 143; shift; exec "$@"';

/**
 * The command line that runs a program which gets a signal, SIGTERM or KILL, when this process dies, by whatever means: SIGKILL, too, after
 * which nothing of ours could end it. By `setpriv --pdeathsig` (util-linux); the program replaces setpriv, so its pid is
 * the one that was started. A program whose starter is dead before it begins does not begin. Where setpriv or the program is not found: the program alone.
 */
export async function endingWithParent(
  program: string,
  args: readonly string[],
  signal: 'TERM' | 'KILL',
  env: Readonly<Record<string, string | undefined>> = {},
): Promise<[program: string, args: readonly string[]]> {
  const path = env.PATH ?? process.env.PATH ?? '';
  const [setpriv, found] = await Promise.all([findProgram('setpriv', path), findProgram(program, path)]);
  if (setpriv === null || found === null) return [program, args];
  const shell = ['/bin/sh', '-c', UNLESS_ORPHANED, 'sh', String(process.pid)];
  return [setpriv, ['--pdeathsig', signal, '--', ...shell, found, ...args]];
}

async function findProgram(program: string, path: string): Promise<string | null> {
  const places = program.includes('/') ? [program] : path.split(delimiter).map((folder) => join(folder, program));
  for (const place of places) {
    const usable = await access(place, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (usable) return place;
  }
  return null;
}
