/**
 * A program of its own: `node mapping-watchdog.js`. It takes away what a mapping has mounted and made when the mapping's
 * process has died and cannot. It reads lines of JSON, and prints one word:
 *
 *     Traces  ▶  `ready`
 *     "done"  ▶  nothing is left: it ends with its input, and does nothing
 *
 * The end of the input without "done" is that process's death.
 */
import { LocalHost, linesOf } from '@virtnbd/host';
import { removeTraces, type Traces } from '../mount/traces.ts';

// Ctrl-C, and the end of a terminal or of a service, are for the mapping to answer.
for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined);
process.stdout.on('error', () => undefined);

let traces: Traces | undefined;
for await (const line of linesOf(process.stdin)) {
  const message: Traces | 'done' = JSON.parse(line);
  traces = message === 'done' ? undefined : message;
  if (traces !== undefined) process.stdout.write('ready\n');
}
// Nobody is left to hear of a failure.
if (traces !== undefined) await removeTraces(new LocalHost(), traces).catch(() => undefined);
process.exit();
