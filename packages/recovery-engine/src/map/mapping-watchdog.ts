/**
 * A program of its own: `node mapping-watchdog.js TRACES`, in JSON. It takes away what a mapping has mounted and made when the
 * mapping's process has died and cannot. It prints `ready`, and hears one line:
 *
 *     "done"  ▶  nothing is left: it ends, and does nothing
 *
 * The end of the input without it is that process's death. The traces are an argument so that it has them from its first
 * moment: that process may die in the next one.
 */
import { LocalHost, linesOf } from '@virtnbd/host';
import { removeTraces, type Traces } from '../mount/traces.ts';

// Ctrl-C, and the end of a terminal or of a service, are for the mapping to answer.
for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined);
process.stdout.on('error', () => undefined);

const [, , order = ''] = process.argv;
let traces: Traces | undefined = JSON.parse(order);
process.stdout.write('ready\n');
for await (const line of linesOf(process.stdin)) if (line === '"done"') traces = undefined;
// Nobody is left to hear of a failure.
if (traces !== undefined) await removeTraces(new LocalHost(), traces).catch(() => undefined);
process.exit();
