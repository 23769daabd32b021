/** Seconds without a sign of life after which a program there is ended; a sign is a byte on its supervisor's input. */
export const SILENCE = 20;
/** Milliseconds between two signs of life. */
export const SIGN_OF_LIFE_MS = 5_000;
/** Before it stands the program's process id, on a line of standard output, when it was started to stay. */
export const STARTED = 'virtnbd-started';

/** Begins the line that `env` or this script says when the program cannot be run; exit code 127 or 126 go with it. */
export const NOT_RUN = 'env: ';

/*
 * What the shell there runs: the program in a session of its own, and beside it a watch that ends it (SIGTERM, after 5 s
 * SIGKILL, with its children) at the end of the input, or when nothing comes for SILENCE seconds: when we end it, when we
 * are killed, and when the link is cut without a word. sshd itself would notice the last only after hours. The watch holds
 * none of the program's outputs, so that their end is the program's.
 *
 * What the program is to read comes before the signs of life: the watch hands that on first, through a pipe whose two ends
 * the shell makes of one (`: |` leaves a pipe that nobody writes to, and Linux opens its other end by /proc).
 *
 *     $1: "stay" or "once"   $2: bytes of input, "" for none   $3: the program, to be found first   the rest: the command line
 */
const SCRIPT = `
mode=$1; input=$2; command -v -- "$3" >/dev/null || { echo "${NOT_RUN}$3: not found" >&2; exit 127; }; shift 3
exec 3<&0 0</dev/null
run() {
  setsid "$@" <&4 3<&- 4<&- 5>&- &
  p=$!
  [ "$mode" = once ] || echo "${STARTED} $p"
  ( exec 4<&-
    [ -z "$input" ] || head -c "$input" <&3 >&5
    exec 5>&-
    while [ -n "$(timeout ${SILENCE} head -c 1 <&3)" ]; do :; done
    kill -TERM "-$p" || kill -TERM "$p"; sleep 5; kill -KILL "-$p"
  ) >/dev/null 2>&1 &
  w=$!
  exec 3<&- 4<&- 5>&-
  wait "$p"; c=$?
  kill "$w" 2>/dev/null
  exit "$c"
}
[ -n "$input" ] || run "$@" 4</dev/null 5>/dev/null
: | { exec 4<&0 5>/proc/self/fd/0 0</dev/null; run "$@"; }
`;

/** The words of a command that runs a program under such a watch. */
export function supervised(
  program: string,
  args: readonly string[],
  { env, mode, input }: SupervisedOptions,
): string[] {
  const length = input === undefined ? '' : String(input);
  return ['exec', 'sh', '-c', SCRIPT, 'sh', mode, length, program, ...withEnvironment(program, args, env)];
}

export interface SupervisedOptions {
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** `stay`: its process id is told when it has been started. */
  readonly mode: 'stay' | 'once';
  /** Bytes that it is to read; they come before the first sign of life. Nothing when absent. */
  readonly input?: number | undefined;
}

/** The command line that sets the environment, too. */
function withEnvironment(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>> = {},
): string[] {
  const all = Object.entries({ LC_ALL: 'C', ...env });
  const removed = all.filter(([, value]) => value === undefined).flatMap(([name]) => ['-u', name]);
  const set = all.filter(([, value]) => value !== undefined).map(([name, value]) => `${name}=${value}`);
  return ['env', ...removed, ...set, program, ...args];
}
