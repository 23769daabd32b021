import { fileURLToPath } from 'node:url';
import { type TempFolder, tempFolder } from '@virtnbd/test-kit';
import { type MapFolder, makeFrames, makeMapFolder, removeFolder } from './map-folders.ts';
import { type MapServer, startEstablished, startFile, startOurs } from './map-servers.ts';
import type { NbdJob } from './nbd-job.ts';
import { median, timed } from './program.ts';

/** How much work each measurement is. */
export interface MapScale {
  readonly diskBytes: number;
  readonly randomReads: number;
  readonly increments: number;
  /** Frames of the folders whose starts are compared. */
  readonly frames: readonly [number, number];
  readonly rounds: number;
}

/** A line of the table: cells of what, counterpart, ratio of rates or times, theirs, ours, our peak memory. */
export type MapRow = readonly string[];

export const HEAD = ['', 'counterpart', 'ratio', 'theirs', 'ours', "our server's peak memory"];

const MIB = 1024 * 1024;
const WORKER = fileURLToPath(new URL('./nbd-worker.ts', import.meta.url));
/** In flight: as many as a busy client has. */
const DEPTH = 16;

type Starter = (folder: MapFolder) => Promise<MapServer>;
interface Load {
  readonly what: string;
  /** What is counted, and how much of it. */
  readonly unit: { readonly amount: number; readonly name: string };
  readonly run: (server: MapServer) => Promise<number>;
}

/** P7: reads of 4 KiB at random places. */
export async function random(scale: MapScale): Promise<MapRow[]> {
  const load = (what: string): Load => ({
    what: `random reads of 4 KiB, ${what}`,
    unit: { amount: scale.randomReads, name: 'a second' },
    run: ({ uri }) => work({ kind: 'random-reads', uri, count: scale.randomReads, depth: DEPTH }),
  });
  return await onFolders(scale, load, { 'established plugin': startEstablished, 'nbdkit file': startFile });
}

/** P7: all of the disk, by nbdcopy. */
export async function sequential(scale: MapScale): Promise<MapRow[]> {
  const load = (what: string): Load => ({
    what: `all of it, ${what}`,
    unit: { amount: scale.diskBytes / MIB, name: 'MiB/s' },
    run: async ({ uri }) => (await timed('nbdcopy', [uri, 'null:'])).seconds,
  });
  return await onFolders(scale, load, { 'established plugin': startEstablished, 'nbdkit file': startFile });
}

/** The kinds of folders, each with the counterparts that can serve it; of compressed ones also the decompression alone. */
async function onFolders(
  scale: MapScale,
  load: (what: string) => Load,
  counterparts: Readonly<Record<string, Starter>>,
): Promise<MapRow[]> {
  await using place = await tempFolder();
  const { diskBytes: bytes, increments } = scale;
  const rows: MapRow[] = [];
  const kinds = [
    ['plain', { bytes, increments: 0 }],
    ['lz4', { bytes, increments: 0, compression: 'lz4' }],
    [`chain of ${increments} increments`, { bytes, increments }],
  ] as const;
  for (const [what, options] of kinds) {
    const folder = await makeMapFolder(`${place.path}/folder`, options);
    const usable = Object.entries(counterparts).filter(([name]) => what === 'plain' || name === 'nbdkit file');
    rows.push(...(await compared(load(what), folder, usable, scale.rounds)));
    if (what === 'lz4' && load(what).unit.name === 'MiB/s') rows.push(await besideDecompression(folder, scale));
    await removeFolder(folder);
  }
  return rows;
}

/** All servers by turns, each started anew. */
async function compared(
  { what, unit, run }: Load,
  folder: MapFolder,
  counterparts: readonly [name: string, start: Starter][],
  rounds: number,
): Promise<MapRow[]> {
  const sides: [string, Starter][] = [['ours', startOurs], ...counterparts];
  const times = new Map<string, number[]>(sides.map(([name]) => [name, []]));
  let peak = 0;
  for (let round = 0; round < rounds; round++) {
    for (const [name, start] of sides) {
      await using server = await start(folder);
      times.get(name)?.push(await run(server));
      if (name === 'ours') peak = Math.max(peak, server.peak());
    }
  }
  const rate = (name: string): number => unit.amount / median(times.get(name) ?? []);
  const own = rate('ours');
  return counterparts.map(([name]) => {
    const figures = [
      (own / rate(name)).toFixed(2),
      `${rate(name).toFixed(0)} ${unit.name}`,
      `${own.toFixed(0)} ${unit.name}`,
    ];
    return [what, name, ...figures, `${Math.round(peak)} MiB`];
  });
}

/** Reading and decompressing the same file without a server. */
async function besideDecompression(folder: MapFolder, { rounds, diskBytes }: MapScale): Promise<MapRow> {
  const job = { kind: 'decompress', uri: '', file: `${folder.folder}/vda.full.data` } as const;
  const [alone, served]: [number[], number[]] = [[], []];
  let peak = 0;
  for (let round = 0; round < rounds; round++) {
    alone.push(await work(job));
    await using server = await startOurs(folder);
    served.push((await timed('nbdcopy', [server.uri, 'null:'])).seconds);
    peak = Math.max(peak, server.peak());
  }
  const [theirs, ours] = [alone, served].map((times) => diskBytes / MIB / median(times));
  const figures = [
    ((ours ?? 0) / (theirs ?? 1)).toFixed(2),
    `${theirs?.toFixed(0)} MiB/s`,
    `${ours?.toFixed(0)} MiB/s`,
  ];
  return ['all of it, lz4', 'decompression alone', ...figures, `${Math.round(peak)} MiB`];
}

/** P7: from the start of the command to the first block; memory. */
export async function start({ frames: [few, many], rounds }: MapScale): Promise<MapRow[]> {
  await using place: TempFolder = await tempFolder();
  const folders = [await makeFrames(`${place.path}/few`, few), await makeFrames(`${place.path}/many`, many)];
  const times = folders.map((): number[] => []);
  const peaks = folders.map(() => 0);
  for (let round = 0; round < rounds; round++) {
    for (const [index, folder] of folders.entries()) {
      const begun = performance.now();
      await using server = await startOurs(folder);
      await work({ kind: 'random-reads', uri: server.uri, count: 1, depth: 1 });
      times[index]?.push((performance.now() - begun) / 1000);
      await timed('nbdcopy', [server.uri, 'null:']);
      peaks[index] = Math.max(peaks[index] ?? 0, server.peak());
    }
  }
  const [quick = 0, slow = 0] = times.map(median);
  const memory = peaks.map((peak) => `${Math.round(peak)} MiB`);
  const what = `start to first block, ${many} frames (memory: after all was read)`;
  const figures = [(slow / quick).toFixed(2), `${quick.toFixed(2)} s (${memory[0]})`, `${slow.toFixed(2)} s`];
  return [[what, `${few} frames, ours`, ...figures, memory[1] ?? '']];
}

/** Seconds that a client of ours takes, without its start. */
async function work(job: NbdJob): Promise<number> {
  const { printed } = await timed(process.execPath, [WORKER, JSON.stringify(job)]);
  return Number(/"seconds":([0-9.]+)/.exec(printed)?.[1] ?? Number.NaN);
}
