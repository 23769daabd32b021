import { join } from 'node:path';
import { BackupSet, BackupSetError, parseFileName, type SetProblem } from '@virtnbd/backup-set';
import type { Host } from '@virtnbd/host';
import { sumOf } from './amounts.ts';
import { bootVerdicts } from './boot-verdicts.ts';
import { chainsOf } from './chains.ts';
import { describePoint } from './describe-point.ts';
import { InspectError } from './errors.ts';
import type { FolderDescription } from './folder-description.ts';
import { type FileSizes, strayFiles, unfinishedRuns } from './leftovers.ts';
import { RegionCounter } from './regions.ts';
import { type ScannedFile, scanFile } from './scan-file.ts';

export interface DescribeFolderOptions {
  signal?: AbortSignal | undefined;
  /** Regions of a disk at most; default 1024. */
  cells?: number | undefined;
}

/**
 * Describes a backup folder: its restore points, what hangs together, what is left over, and how often each region of a
 * disk was saved. Every header is read, one file after the other; no payload and no checksum.
 *
 * @throws InspectError `NOT_FOUND`; HostError; `signal.reason`
 */
export async function describeFolder(
  host: Host,
  folder: string,
  options: DescribeFolderOptions = {},
): Promise<FolderDescription> {
  const stat = await host.files.stat(folder);
  if (stat === null) throw new InspectError('NOT_FOUND', `There is no folder ${folder}.`);
  const { signal } = options;
  const set = await BackupSet.open(host, folder, signal === undefined ? {} : { signal });
  const sizes = await fileSizes(host, folder);
  const scanned = new Map<string, ScannedFile>();
  const regions = new RegionCounter(set.points, options.cells ?? 1024);
  for (const disk of set.points.flatMap(({ disks }) => disks)) {
    signal?.throwIfAborted();
    if (!scanned.has(disk.file)) scanned.set(disk.file, await scanFile(host, folder, disk, sizes, regions, signal));
  }
  const { verdicts, problems } = await bootVerdicts(host, folder, set.points);
  const points = set.points.map((point) => describePoint(set, point, { scanned, sizes, verdicts }));
  const disks = new Set(points.flatMap((point) => point.disks.map(({ disk }) => disk)));
  return {
    schema: 'virtnbd-folder',
    version: 1,
    folder,
    domain: domainOf(set, sizes),
    latest: latestOf(set),
    totals: {
      points: points.length,
      complete: points.filter(({ state }) => state === 'complete').length,
      disks: disks.size,
      ...sumOf(points),
    },
    points,
    chains: chainsOf(points),
    unfinished: unfinishedRuns(set.problems, sizes),
    strays: strayFiles(set.problems, sizes),
    problems: [...set.problems, ...scanProblems(set, scanned), ...problems],
    regions: regions.finish(),
  };
}

async function fileSizes(host: Host, folder: string): Promise<FileSizes> {
  const sizes = new Map<string, number>();
  for (const { name, kind } of await host.files.list(folder)) {
    if (kind !== 'file' && kind !== 'link') continue;
    const stat = await host.files.stat(join(folder, name));
    if (stat?.kind === 'file') sizes.set(name, stat.size);
  }
  return sizes;
}

/** What only the scan has found. */
function scanProblems(set: BackupSet, scanned: ReadonlyMap<string, ScannedFile>): SetProblem[] {
  const known = new Set(set.problems.flatMap(({ severity, files }) => (severity === 'error' ? files : [])));
  return set.points.flatMap(({ id, disks }) =>
    disks.flatMap(({ disk, file }): SetProblem[] => {
      const message = known.has(file) ? null : (scanned.get(file)?.problem ?? null);
      return message === null ? [] : [{ code: 'DAMAGED', message, files: [file], point: id, disk, severity: 'error' }];
    }),
  );
}

function latestOf(set: BackupSet): string | null {
  try {
    return set.point('latest').id;
  } catch (error) {
    if (error instanceof BackupSetError) return null;
    throw error;
  }
}

function domainOf(set: BackupSet, sizes: FileSizes): { name: string | null; uuid: string | null } {
  const domain = set.points.findLast(({ manifest }) => manifest !== null)?.manifest?.domain;
  if (domain !== undefined) return domain;
  for (const name of sizes.keys()) {
    const parsed = parseFileName(name);
    if (parsed?.kind === 'checkpoint-list' && !parsed.partial) return { name: parsed.domain, uuid: null };
  }
  return { name: null, uuid: null };
}
