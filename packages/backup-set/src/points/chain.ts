import { BackupSetError, type BackupSetErrorCode } from '../errors.ts';
import { checkpointNumber } from '../names.ts';
import type { PointDisk, RecordedCheckpoint, RestorePoint, SetProblem } from './point.ts';

export interface ChainOptions {
  /** Only the chain of this disk: points that hold a whole backup of it cut it short, other disks do not matter. */
  disk?: string;
  /** Also through points with faults: it is what is left of them that is wanted. */
  despiteFaults?: boolean;
}

/**
 * Orders points so that parents come first: the copy, then fulls and increments by their number, each followed by the
 * differentials upon it.
 */
export function orderPoints(points: readonly RestorePoint[]): RestorePoint[] {
  const leaves = points.filter(isLeaf).sort(byTime);
  const trunk = points.filter((point) => !isLeaf(point)).sort((a, b) => rank(a) - rank(b));
  const ids = new Set(trunk.map(({ id }) => id));
  const adrift = leaves.filter(({ parent }) => parent === null || !ids.has(parent));
  return [...trunk.flatMap((point) => [point, ...leaves.filter(({ parent }) => parent === point.id)]), ...adrift];
}

/** Differentials and offline increments: nothing builds upon them. */
export function isLeaf({ id, level }: RestorePoint): boolean {
  return level === 'diff' || (level === 'inc' && checkpointNumber(id) === null);
}

function rank({ id }: RestorePoint): number {
  return checkpointNumber(id) ?? -1;
}

function byTime(a: RestorePoint, b: RestorePoint): number {
  return leafTime(a) - leafTime(b) || (a.id < b.id ? -1 : 1);
}

/** Seconds since 1970: the name of a diff is its time; an offline increment has a date in its header. */
function leafTime({ id, date }: RestorePoint): number {
  if (/^\d+$/.test(id)) return Number(id);
  const time = Date.parse(date);
  return Number.isNaN(time) ? 0 : time / 1000;
}

/**
 * Faults of the links between points: a parent that is not there or is another chain's, and two increments upon one
 * point.
 *
 * @param recorded checkpoints that the points were committed with
 */
export function linkFaults(points: readonly RestorePoint[], recorded: readonly RecordedCheckpoint[]): SetProblem[] {
  const byId = new Map(points.map((point) => [point.id, point]));
  const faults: SetProblem[] = [];
  for (const point of points) {
    const { id, parent } = point;
    if (parent === null || point.disks.every(({ incremental }) => !incremental)) continue;
    const files = point.disks.filter(({ incremental }) => incremental).map(({ file }) => file);
    const fault = { files, point: id, severity: 'error' as const };
    const expected = point.manifest?.parentCheckpoint;
    const found = recorded.find(({ name }) => name === parent)?.creationTime ?? null;
    if (!byId.has(parent)) faults.push({ ...fault, code: 'GAP', message: gapText(id, parent, files) });
    else if (expected && found !== null && expected.creationTime !== found) {
      const message = `${id} follows a checkpoint ${parent} of another chain than the one in this folder.`;
      faults.push({ ...fault, code: 'FOREIGN', message });
    }
    const rivals = points.filter((other) => other !== point && other.parent === parent && !isLeaf(other));
    const rival = isLeaf(point) ? undefined : rivals.find(({ disks }) => disks.some(({ incremental }) => incremental));
    if (rival === undefined) continue;
    const both = [...files, ...rival.disks.map(({ file }) => file)];
    const message = `${id} and ${rival.id} both follow ${parent}: one of them is of another chain (${both.join(', ')}).`;
    faults.push({ ...fault, code: 'DUPLICATE', message, files: both });
  }
  return faults;
}

function gapText(id: string, parent: string, files: readonly string[]): string {
  return `${id} (${files.join(', ')}) builds upon ${parent}, which is not in the folder.`;
}

/**
 * The point that `latest` means: the end of the chain, or the newest differential upon it. A copy beside a chain is
 * older: auto makes one only before the first full.
 *
 * @throws BackupSetError `EMPTY`
 */
export function latestPoint(points: readonly RestorePoint[]): RestorePoint {
  const trunk = points.filter((point) => !isLeaf(point)).sort((a, b) => rank(a) - rank(b));
  const tip = trunk.at(-1);
  const leaves = points.filter((point) => isLeaf(point) && (tip === undefined || point.parent === tip.id));
  // A differential that needs no other point still says that something newer than the chain's end is there.
  const whole = points.filter((point) => isLeaf(point) && point.parent === null);
  const newest = [...leaves, ...whole.filter((point) => tip !== undefined && isNewer(point, tip))].sort(byTime).at(-1);
  const latest = newest ?? tip;
  if (latest === undefined) throw new BackupSetError('EMPTY', 'The folder holds no restore point that could be used.');
  return latest;
}

function isNewer(leaf: RestorePoint, tip: RestorePoint): boolean {
  const time = Date.parse(tip.date);
  return Number.isNaN(time) || leafTime(leaf) >= Math.floor(time / 1000);
}

/**
 * The points that are needed to bring `target` back, base first, by parent links alone. The base is the nearest point
 * at which each disk in question has a whole backup.
 *
 * @throws BackupSetError `UNKNOWN_DISK`, `GAP`, `CYCLE`, or the code of a fault of one of these points
 */
export function chainOf(
  points: readonly RestorePoint[],
  target: RestorePoint,
  options: ChainOptions = {},
): RestorePoint[] {
  const byId = new Map(points.map((point) => [point.id, point]));
  const needed = new Set(options.disk === undefined ? target.disks.map(({ disk }) => disk) : [options.disk]);
  const soundness = options.despiteFaults === true ? () => undefined : requireSound;
  soundness(target, new Set());
  if (options.disk !== undefined) requireDisk(target, options.disk);
  const chain: RestorePoint[] = [];
  for (let point = target; ; ) {
    if (chain.includes(point)) throw cycle(chain);
    chain.push(point);
    soundness(point, needed);
    for (const disk of [...needed]) {
      if (!diskAt(target, point, disk).incremental) needed.delete(disk);
    }
    if (needed.size === 0) return chain.reverse();
    const parent = point.parent === null ? undefined : byId.get(point.parent);
    if (parent === undefined) throw gap(point, needed);
    point = parent;
  }
}

function requireDisk(point: RestorePoint, disk: string): void {
  if (point.disks.some((known) => known.disk === disk)) return;
  const known = point.disks.map((other) => other.disk).join(', ') || 'none';
  throw new BackupSetError('UNKNOWN_DISK', `The restore point ${point.id} has no disk ${disk}; it has: ${known}.`, {
    point: point.id,
    disk,
  });
}

/** A disk that is missing in between was not saved then: what changed meanwhile is in no file. */
function diskAt(target: RestorePoint, point: RestorePoint, disk: string): PointDisk {
  const found = point.disks.find((known) => known.disk === disk);
  if (found !== undefined) return found;
  const text = `Disk ${disk} at ${target.id} builds upon ${point.id}, and it was not saved there.`;
  throw new BackupSetError('GAP', text, { point: point.id, disk });
}

/** Refuses a point with a fault of its own or of one of the disks in question. */
function requireSound(point: RestorePoint, disks: ReadonlySet<string>): void {
  const fault = point.faults.find(({ disk }) => disk === undefined || disks.has(disk));
  if (fault === undefined) return;
  const { message, files, disk } = fault;
  throw new BackupSetError(codeOf(fault), `The restore point ${point.id} cannot be used: ${message}`, {
    files,
    point: point.id,
    ...(disk === undefined ? {} : { disk }),
  });
}

function codeOf({ code }: SetProblem): BackupSetErrorCode {
  if (code === 'UNFINISHED' || code === 'NO_MANIFEST' || code === 'ORPHAN') return 'DAMAGED';
  return code === 'AMBIGUOUS' ? 'DUPLICATE' : code;
}

function gap(point: RestorePoint, needed: ReadonlySet<string>): BackupSetError {
  const files = point.disks.filter(({ disk }) => needed.has(disk)).map(({ file }) => file);
  const text =
    point.parent === null
      ? `${point.id} (${files.join(', ')}) holds only changes, and nothing says to what.`
      : gapText(point.id, point.parent, files);
  return new BackupSetError('GAP', text, { files, point: point.id });
}

function cycle(chain: readonly RestorePoint[]): BackupSetError {
  const files = chain.flatMap(({ disks }) => disks.map(({ file }) => file));
  const text = `The parent links lead in a circle: ${chain.map(({ id }) => id).join(' → ')}.`;
  return new BackupSetError('CYCLE', text, { files });
}
