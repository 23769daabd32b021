import {
  type BackupSet,
  BackupSetError,
  type BootVerdict,
  domainXmlName,
  type PointDisk,
  parseFileName,
  type RestorePoint,
  type SetProblem,
} from '@virtnbd/backup-set';
import { amountsOf, sumOf } from './amounts.ts';
import { worstState } from './chains.ts';
import type { DiskDescription, PointDescription, PointState, RestoreDescription } from './folder-description.ts';
import type { FileSizes } from './leftovers.ts';
import { diskOf } from './open-stream.ts';
import type { ScannedFile } from './scan-file.ts';

/** What was read of all files. */
interface FoundFiles {
  readonly scanned: ReadonlyMap<string, ScannedFile>;
  readonly sizes: FileSizes;
  readonly verdicts: ReadonlyMap<string, BootVerdict>;
}

/** Describes one point from what was read of all files. */
export function describePoint(
  set: BackupSet,
  point: RestorePoint,
  { scanned, sizes, verdicts }: FoundFiles,
): PointDescription {
  const disks = point.disks.map((disk) => describeDisk(set, point, disk, scanned, sizes));
  const { state, reason } = stateOf(point, disks);
  const config = point.manifest?.files.find(({ role }) => role === 'domain-xml')?.name ?? configName(point.id, sizes);
  const files = point.manifest?.files.reduce((sum, { size }) => sum + size, 0);
  const sum = sumOf(disks);
  return {
    id: point.id,
    level: point.level,
    date: point.date === '' ? null : point.date,
    parent: point.parent,
    children: set.points.filter(({ parent }) => parent === point.id).map(({ id }) => id),
    checkpoint: point.checkpoint === '' ? null : point.checkpoint,
    state,
    reason,
    writer: point.manifest === null ? null : `${point.manifest.writer.name} ${point.manifest.writer.version}`,
    config,
    boot: verdicts.get(point.id) ?? null,
    ...sum,
    fileBytes: files ?? sum.fileBytes,
    disks,
  };
}

function configName(id: string, sizes: FileSizes): string | null {
  const ident = id.replace(/\+offline$/, '');
  const parsed = parseFileName(`vmconfig.${ident}.xml`);
  return parsed?.kind === 'domain-xml' && sizes.has(domainXmlName(ident)) ? domainXmlName(ident) : null;
}

function describeDisk(
  set: BackupSet,
  point: RestorePoint,
  disk: PointDisk,
  scanned: ReadonlyMap<string, ScannedFile>,
  sizes: FileSizes,
): DiskDescription {
  const found = scanned.get(disk.file);
  const sum = sizes.has(`${disk.file}.chksum`) ? 'adler32' : 'none';
  return {
    disk: disk.disk,
    file: disk.file,
    kind: disk.kind,
    base: !disk.incremental,
    virtualSize: disk.virtualSize,
    format: disk.format ?? null,
    imageName: disk.imageName ?? null,
    compression: found?.compression ?? null,
    frames: found?.frames ?? null,
    ...amountsOf(found),
    checksum: point.manifest === null ? sum : 'chunks',
    problem: found?.problem ?? null,
    restore: describeRestore(set, point, disk.disk, scanned),
  };
}

function describeRestore(
  set: BackupSet,
  point: RestorePoint,
  disk: string,
  scanned: ReadonlyMap<string, ScannedFile>,
): RestoreDescription {
  try {
    const chain = set.chain(point.id, { disk });
    const files = chain.flatMap((link) => diskOf(link, disk)?.file ?? []);
    const bad = files.find((file) => scanned.get(file)?.problem != null);
    const problem = bad === undefined ? null : (scanned.get(bad)?.problem ?? null);
    const rawBelow = chain.length > 1 && chain.find((link) => diskOf(link, disk)?.kind === 'raw');
    const reason = rawBelow ? `it builds upon ${diskOf(rawBelow, disk)?.file}, a raw image` : problem;
    const code = reason === null ? null : 'DAMAGED';
    return { possible: reason === null, points: chain.map(({ id }) => id), files, code, reason };
  } catch (error) {
    if (!(error instanceof BackupSetError)) throw error;
    return { possible: false, points: [], files: [], code: error.code, reason: error.message };
  }
}

function stateOf(point: RestorePoint, disks: readonly DiskDescription[]): { state: PointState; reason: string | null } {
  const own = point.faults.map((fault) => ({ state: stateOfFault(fault), reason: fault.message }));
  const files = disks.flatMap(({ problem }) =>
    problem === null ? [] : [{ state: 'damaged' as const, reason: problem }],
  );
  const chain = disks.flatMap(({ restore: { possible, reason, code } }) => {
    if (possible) return [];
    const adrift = code === 'GAP' || code === 'CYCLE';
    return [{ state: adrift ? ('orphan' as const) : ('damaged' as const), reason: reason ?? '' }];
  });
  const faults = own.length + files.length > 0 ? [...own, ...files] : chain;
  const state = worstState(faults.map((fault) => fault.state));
  return { state, reason: faults.find((fault) => fault.state === state)?.reason ?? null };
}

function stateOfFault({ code }: SetProblem): PointState {
  if (code === 'GAP' || code === 'ORPHAN') return 'orphan';
  return code === 'FOREIGN' || code === 'DUPLICATE' || code === 'AMBIGUOUS' ? 'foreign' : 'damaged';
}
