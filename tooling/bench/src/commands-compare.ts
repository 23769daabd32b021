import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { median, type Timed, timed } from './program.ts';

/** One way to do a thing. */
export interface Side {
  name: string;
  program: string;
  args: readonly string[];
  env?: Readonly<Record<string, string>>;
  /** Where the result goes; emptied before each run and after it. */
  folder?: string;
  /** Untimed, before and after each run. */
  before?: () => Promise<unknown>;
  after?: () => Promise<unknown>;
}

/** Ours beside any number of others. */
export interface Comparison {
  what: string;
  ours: Side;
  others: readonly Side[];
}

interface Run extends Timed {
  /** Bytes of the result. */
  size: number;
}

export const HEAD = ['', 'counterpart', 'ratio of times', 'theirs', 'ours', 'ratio of sizes', 'our peak memory'];

/** All sides by turns, so many times; a line of the table for each counterpart. */
export async function compared({ what, ours, others }: Comparison, rounds: number): Promise<string[][]> {
  const runs = new Map<Side, Run[]>([ours, ...others].map((side) => [side, []]));
  for (let round = 0; round < rounds; round++) for (const [side, list] of runs) list.push(await once(side));
  const of = (side: Side, figure: (run: Run) => number): number => median((runs.get(side) ?? []).map(figure));
  const peak = `${Math.round(Math.max(...(runs.get(ours) ?? []).map((run) => run.peak)))} MiB`;
  const [own, size] = [of(ours, ({ seconds }) => seconds), of(ours, (run) => run.size)];
  if (others.length === 0) return [[what, '–', '–', '–', `${own.toFixed(2)} s`, '–', peak]];
  return others.map((other) => {
    const theirs = of(other, ({ seconds }) => seconds);
    const sizes = size > 0 ? (size / of(other, (run) => run.size)).toFixed(3) : '–';
    const times = [(own / theirs).toFixed(2), `${theirs.toFixed(2)} s`, `${own.toFixed(2)} s`];
    return [what, other.name, ...times, sizes, peak];
  });
}

async function once({ program, args, env, folder, before, after }: Side): Promise<Run> {
  await before?.();
  // None is to pay for what another has left to be written or discarded.
  await timed('sync', []);
  try {
    if (folder === undefined) return { ...(await timed(program, args, env)), size: 0 };
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder);
    const run = await timed(program, args, env);
    return { ...run, size: await sizeOf(folder) };
  } finally {
    await after?.();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  }
}

async function sizeOf(folder: string): Promise<number> {
  let size = 0;
  for (const name of await readdir(folder)) size += (await stat(join(folder, name))).size;
  return size;
}
