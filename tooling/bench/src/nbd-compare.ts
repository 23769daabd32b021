import { fileURLToPath } from 'node:url';
import type { NbdJob } from './nbd-job.ts';
import type { Measurement } from './nbd-measurements.ts';
import { markdown, median, type Timed, timed } from './program.ts';

const WORKER = fileURLToPath(new URL('nbd-worker.ts', import.meta.url));

/** A line of the table. */
export interface Row {
  what: string;
  counterpart: string;
  /** Ours over theirs: times where less is better, rates where more is better. */
  ratio: string;
  /** The same, without the 50 ms or so that node takes to start. */
  ratioOnceStarted: string;
  theirs: string;
  ours: string;
  ourPeak: string;
  theirPeak: string;
}

/** Both sides by turns, so many times; the median of each. */
export async function compare(measurement: Measurement, rounds: number): Promise<Row> {
  const { job, program, args, unit } = measurement;
  const theirs: Timed[] = [];
  const ours: Timed[] = [];
  for (let round = 0; round < rounds; round++) {
    theirs.push(await timed(program, args));
    ours.push(await timed(process.execPath, [WORKER, JSON.stringify(job satisfies NbdJob)]));
  }
  const of = (runs: readonly Timed[], figure: (run: Timed) => number): number => median(runs.map(figure));
  const [their, our] = [of(theirs, ({ seconds }) => seconds), of(ours, ({ seconds }) => seconds)];
  const working = of(ours, workingSeconds);
  const ratio = (seconds: number) => (unit.kind === 'rate' ? their / seconds : seconds / their).toFixed(2);
  const figure = (seconds: number) =>
    unit.kind === 'rate' ? `${Math.round(unit.amount / seconds)} ${unit.name}` : `${seconds.toFixed(2)} s`;
  return {
    what: measurement.what,
    counterpart: program,
    ratio: ratio(our),
    ratioOnceStarted: ratio(working),
    theirs: figure(their),
    ours: figure(our),
    theirPeak: `${Math.round(of(theirs, ({ peak }) => peak))} MiB`,
    ourPeak: `${Math.round(of(ours, ({ peak }) => peak))} MiB`,
  };
}

export function table(rows: readonly Row[]): string {
  const head = ['', 'counterpart', 'ratio', 'once node runs', 'theirs', 'ours', 'their peak memory', 'ours'];
  const lines = rows.map((row) => [
    row.what,
    row.counterpart,
    row.ratio,
    row.ratioOnceStarted,
    row.theirs,
    row.ours,
    row.theirPeak,
    row.ourPeak,
  ]);
  return markdown(head, lines);
}

/** From the connection to its end, as the worker says: without the start of node. */
function workingSeconds({ seconds, printed }: Timed): number {
  return Number(/"seconds":([0-9.]+)/.exec(printed)?.[1] ?? seconds);
}
