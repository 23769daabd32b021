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
  theirs: string;
  ours: string;
  ourPeak: string;
  theirPeak: string;
}

interface Timed {
  /** From the start of the process to its end: the start of node is part of ours. */
  seconds: number;
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
  const [their, our] = [median(theirs, 'seconds'), median(ours, 'seconds')];
  const figure = (seconds: number) =>
    unit.kind === 'rate' ? `${Math.round(unit.amount / seconds)} ${unit.name}` : `${seconds.toFixed(2)} s`;
  return {
    what: measurement.what,
    counterpart: program,
    ratio: (unit.kind === 'rate' ? their / our : our / their).toFixed(2),
    theirs: figure(their),
    ours: figure(our),
    theirPeak: `${Math.round(median(theirs, 'peak'))} MiB`,
    ourPeak: `${Math.round(median(ours, 'peak'))} MiB`,
  };
}

export function table(rows: readonly Row[]): string {
  const head = ['', 'counterpart', 'ratio', 'theirs', 'ours', 'their peak memory', 'ours'];
  const lines = rows.map((row) => [
    row.what,
    row.counterpart,
    row.ratio,
    row.theirs,
    row.ours,
    row.theirPeak,
    row.ourPeak,
  ]);
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |\n`).join('');
}

async function timed(program: string, args: readonly string[]): Promise<Timed> {
  const begun = performance.now();
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
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
  return { seconds: (performance.now() - begun) / 1000, peak };
}

function median(values: readonly Timed[], key: keyof Timed): number {
  const sorted = values.map((value) => value[key]).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
