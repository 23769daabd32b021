import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { NbdJob } from './nbd-job.ts';
import type { Measurement } from './nbd-measurements.ts';

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

interface Timed {
  /** From the start of the process to its end: the start of node is part of ours. */
  seconds: number;
  /** The same, less the start of node; from the connection to its end. */
  working: number;
  /** The most memory that the process held, MiB. */
  peak: number;
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
  const [their, our, working] = [median(theirs, 'seconds'), median(ours, 'seconds'), median(ours, 'working')];
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
    theirPeak: `${Math.round(median(theirs, 'peak'))} MiB`,
    ourPeak: `${Math.round(median(ours, 'peak'))} MiB`,
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
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |\n`).join('');
}

async function timed(program: string, args: readonly string[]): Promise<Timed> {
  const begun = performance.now();
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  // The end of the output is enough: nbdinfo prints a line for each extent.
  let printed = '';
  child.stdout.on('data', (chunk: Buffer) => {
    printed = chunk.subarray(-200).toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  let peak = 0;
  const look = setInterval(async () => {
    const status = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '');
    peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
  }, 20);
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  }).finally(() => clearInterval(look));
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}: ${said}`);
  const seconds = (performance.now() - begun) / 1000;
  return { seconds, working: Number(/"seconds":([0-9.]+)/.exec(printed)?.[1] ?? seconds), peak };
}

function median(values: readonly Timed[], key: keyof Timed): number {
  const sorted = values.map((value) => value[key]).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
