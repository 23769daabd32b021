import { checkpointNumber, type Level } from '../names.ts';
import type { PointDisk, RestorePoint, SetProblem, SetProblemCode } from './point.ts';
import type { StreamHeader } from './stream-header.ts';

/** A data file that no manifest names, and what was found in it. */
export interface FoundData {
  name: string;
  disk: string;
  level: Level;
  ident: string | null;
  /** Bytes. */
  size: number;
  content: { kind: 'stream'; header: StreamHeader } | { kind: 'raw' } | { kind: 'damaged'; reason: string };
}

export interface LegacyInput {
  data: readonly FoundData[];
  /** Whether the folder holds a domain XML of a copy: a raw copy beside a full then belongs to either. */
  hasCopyXml: boolean;
  /** Points that have a manifest. */
  manifestPoints: ReadonlySet<string>;
}

/** A file with the point it belongs to by its name. */
interface Placed {
  point: string;
  /** inc for an offline increment, too */
  level: Level;
  disk: PointDisk;
  checkpoint: string;
  date: string;
  fault: SetProblem | null;
}

/** Where the established tool begins to count. */
const FIRST_CHECKPOINT = 'virtnbdbackup.0';

/** The id of an offline increment of the established tool, which has its parent's checkpoint name. */
const offlineId = (checkpoint: string): string => `${checkpoint}+offline`;

/**
 * The restore points of files that have no manifest, from their names and headers alone. A file's name says which disk
 * and point it stands for, its header must agree. Oddities of the established tool (compatibility.md):
 *
 * - a copy's header says checkpoint `virtnbdbackup.0`: its point is `copy` all the same;
 * - a diff's header says the name of the next increment, or (VM off) of its parent: only its parent link counts;
 * - an offline increment has its own checkpoint as parent. After a full it is a leaf upon it. After an increment it has
 *   taken that increment's name and place, so what the increment held is lost;
 * - a whole backup under an inc or diff name has `incremental` false and no parent;
 * - a raw-format disk is `D.copy.data` in a full, too.
 */
export function legacyPoints(input: LegacyInput): { points: RestorePoint[]; problems: SetProblem[] } {
  const problems: SetProblem[] = [];
  const groups = new Map<string, Placed[]>();
  const full = fullCheckpoint(input.data);
  for (const file of input.data) {
    const point = pointOf(file, input, full);
    const placed = typeof point === 'string' ? place(file, point) : null;
    if (placed === null) {
      if (typeof point !== 'string') problems.push(point);
    } else if (input.manifestPoints.has(placed.point)) {
      const text = `${file.name} is not in the manifest of ${placed.point}: it is another run's or another tool's.`;
      problems.push({ code: 'FOREIGN', message: text, files: [file.name], severity: 'error' });
    } else {
      groups.set(placed.point, [...(groups.get(placed.point) ?? []), placed]);
    }
  }
  return { points: [...groups.values()].map(toPoint), problems };
}

/** The checkpoint that the fulls of the folder say. */
function fullCheckpoint(data: readonly FoundData[]): string {
  for (const { level, content } of data) {
    if (level !== 'full' || content.kind !== 'stream') continue;
    if (checkpointNumber(content.header.checkpointName) !== null) return content.header.checkpointName;
  }
  return FIRST_CHECKPOINT;
}

function pointOf(file: FoundData, { data, hasCopyXml }: LegacyInput, full: string): string | SetProblem {
  const { name, level, ident, content } = file;
  if (level === 'full') {
    const said = content.kind === 'stream' ? content.header.checkpointName : full;
    return checkpointNumber(said) === null ? full : said;
  }
  if (level === 'diff') return ident ?? '';
  if (level === 'inc') {
    if (checkpointNumber(ident ?? '') === null) {
      const message = `${name} is an increment of a checkpoint that this tool does not make; it is passed over.`;
      return { code: 'FOREIGN', message, files: [name], severity: 'error' };
    }
    const offline =
      content.kind === 'stream' && content.header.incremental && content.header.parentCheckpoint === ident;
    return offline && ident === full ? offlineId(full) : (ident ?? '');
  }
  const others = data.filter((other) => other !== file);
  if (content.kind !== 'raw' || !others.some((other) => other.level === 'full')) return 'copy';
  const copies = others.some((other) => other.level === 'copy' && other.content.kind === 'stream');
  if (!hasCopyXml && !copies) return full;
  const message = `Whether ${name} belongs to the full or to the copy in this folder cannot be told; it is passed over.`;
  return { code: 'AMBIGUOUS', message, files: [name], severity: 'error' };
}

function place(file: FoundData, point: string): Placed {
  const { disk, name, level, size, content } = file;
  const header = content.kind === 'stream' ? content.header : null;
  const reason =
    content.kind === 'damaged' ? (['DAMAGED', content.reason] as const) : header && mismatch(file, header, point);
  const code: SetProblemCode | undefined = reason?.[0];
  return {
    point,
    level,
    checkpoint: header?.checkpointName ?? '',
    date: header?.date ?? '',
    fault:
      code === undefined
        ? null
        : { code, message: `${name}: ${reason?.[1]}.`, files: [name], point, disk, severity: 'error' },
    disk: {
      disk,
      file: name,
      kind: content.kind === 'raw' ? 'raw' : 'stream',
      incremental: header?.incremental ?? (level === 'inc' || level === 'diff'),
      virtualSize: header?.virtualSize ?? size,
      ...(header?.format == null ? {} : { format: header.format }),
      // The link of a file that is not what it seems says nothing of the point.
      parent: header?.incremental && code === undefined ? header.parentCheckpoint : null,
      fileSize: size,
    },
  };
}

/** Why a file cannot be what its name says. */
function mismatch(file: FoundData, header: StreamHeader, point: string): readonly [SetProblemCode, string] | null {
  const { disk, level, ident } = file;
  if (header.disk !== disk) return ['FOREIGN', `its header says that it holds disk ${header.disk}: it was renamed`];
  if (level === 'full' || level === 'copy') {
    if (header.incremental) return ['FOREIGN', `its header says that it is an increment: it was renamed`];
    const known = level === 'copy' || checkpointNumber(header.checkpointName) !== null;
    return known ? null : ['FOREIGN', `its header says the checkpoint ${header.checkpointName}, which is not ours`];
  }
  if (header.incremental && header.parentCheckpoint === null) {
    return ['DAMAGED', 'its header says that it is an increment and not to what'];
  }
  if (level === 'diff') return null;
  if (header.checkpointName !== ident) {
    return ['FOREIGN', `its header says the checkpoint ${header.checkpointName}: it was renamed or is another chain's`];
  }
  if (header.incremental && header.parentCheckpoint === point) {
    return ['GAP', `it was made while the VM was off and has overwritten the increment to ${point}, which is lost`];
  }
  return null;
}

function toPoint(group: readonly Placed[]): RestorePoint {
  const first = group[0];
  const id = first?.point ?? '';
  const level = group.find((file) => file.level !== 'copy' && file.level !== 'full')?.level ?? topLevel(group);
  const faults = group.flatMap(({ fault }) => (fault === null ? [] : [fault]));
  const disks = group.map(({ disk }) => disk);
  for (const { disk, file } of disks) {
    const twins = disks.filter((other) => other.disk === disk).map((other) => other.file);
    if (twins[0] !== file || twins.length < 2) continue;
    const message = `${twins.join(' and ')} both claim to be disk ${disk} at ${id}: one of them is foreign.`;
    faults.push({ code: 'DUPLICATE', message, files: twins, point: id, disk, severity: 'error' });
  }
  const parents = new Set(disks.flatMap(({ parent }) => (parent === null ? [] : [parent])));
  if (parents.size > 1) {
    const files = disks.map(({ file }) => file);
    const message = `The disks of ${id} follow different points (${[...parents].join(', ')}): some are foreign.`;
    faults.push({ code: 'FOREIGN', message, files, point: id, severity: 'error' });
  }
  return {
    id,
    level,
    checkpoint: group.find(({ checkpoint }) => checkpoint !== '')?.checkpoint ?? '',
    parent: [...parents][0] ?? null,
    date: group.find(({ date }) => date !== '')?.date ?? '',
    manifest: null,
    disks,
    faults,
  };
}

/** Of a point without increments: raw copies do not make a full a copy. */
function topLevel(group: readonly Placed[]): Level {
  return group.some(({ level, point }) => level === 'full' || point !== 'copy') ? 'full' : 'copy';
}
