/** Seconds without a sign of life after which a program there is ended; a sign is a byte on its supervisor's input. */
export const SILENCE = 20;
/** Milliseconds between two signs of life. */
export const SIGN_OF_LIFE_MS = 5_000;
/** Before it stands the program's process id, on a line of standard output, when it was started to stay. */
export const STARTED = 'virtnbd-started';

/*
 * What the shell there runs: the program in a session of its own, and beside it a watch that ends it (SIGTERM, after 5 s
 * SIGKILL, with its children) at the end of the input, or when nothing comes for SILENCE seconds: when we end it, when we
 * are killed, and when the link is cut without a word. sshd itself would notice the last only after hours. The watch holds
 * none of the program's outputs, so that their end is the program's.
 *
 *     $1: "stay" or "once"   $2: the program, to be found first   the rest: the command line
 */
const SCRIPT = `
mode=$1; command -v -- "$2" >/dev/null || exit 127; shift 2
exec 3<&0 0</dev/null
setsid "$@" 3<&- &
p=$!
[ "$mode" = once ] || echo "${STARTED} $p"
( while [ -n "$(timeout ${SILENCE} head -c 1 <&3)" ]; do :; done
  kill -TERM "-$p"; sleep 5; kill -KILL "-$p"
) >/dev/null 2>&1 &
w=$!
exec 3<&-
wait "$p"; c=$?
kill "$w" 2>/dev/null
exit "$c"
`;

/** The words of a command that runs a program under such a watch. */
export function supervised(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>> | undefined,
  mode: 'stay' | 'once',
): string[] {
  return ['exec', 'sh', '-c', SCRIPT, 'sh', mode, program, ...withEnvironment(program, args, env)];
}

/** The command line that sets the environment, too. */
export function withEnvironment(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>> = {},
): string[] {
  const all = Object.entries({ LC_ALL: 'C', ...env });
  const removed = all.filter(([, value]) => value === undefined).flatMap(([name]) => ['-u', name]);
  const set = all.filter(([, value]) => value !== undefined).map(([name, value]) => `${name}=${value}`);
  return ['env', ...removed, ...set, program, ...args];
}
