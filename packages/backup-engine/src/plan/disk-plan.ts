import { dataFileName, type RestorePoint } from '@virtnbd/backup-set';
import type { BackupLevel, OutputType } from '../context.ts';
import { BackupError } from '../errors.ts';
import type { SavedDisk } from './disks.ts';
import type { SourceImage } from './source-image.ts';

/** A chosen disk, and what is known of its image. */
export interface FoundDisk extends SavedDisk, SourceImage {}

/** How the run saves a disk. */
export type PlannedDisk = PlannedStream | PlannedRaw;

interface Planned extends FoundDisk {
  /** The checkpoint since which its changes are saved; null: the whole disk is. */
  readonly since: string | null;
  /** Name of its data file. */
  readonly file: string;
}

export interface PlannedStream extends Planned {
  readonly output: 'stream';
  /** What the header of the stream file says. */
  readonly header: { readonly checkpointName: string; readonly parentCheckpoint: string };
}

/** A plain raw image. */
export interface PlannedRaw extends Planned {
  readonly output: 'raw';
  readonly header: null;
}

/** What decides how the disks are saved. */
export interface DiskPlanInput {
  readonly level: BackupLevel;
  readonly output: OutputType;
  /** Id of the new restore point. */
  readonly point: string;
  /** The checkpoint that headers name: a differential names that of the next increment. */
  readonly checkpointName: string;
  /** The point to go on from; null for full and copy. */
  readonly parent: RestorePoint | null;
  /** Disks whose images can tell what has changed since the parent's checkpoint. */
  readonly tracked: ReadonlySet<string>;
  /** Names of data files that the folder holds. */
  readonly taken: ReadonlySet<string>;
}

/**
 * Decides for each disk whether its changes suffice or all of it must be saved, and under which name. In mid-chain a disk
 * is saved whole, as a base of its own, when what the parent point holds of it is no ground to build upon: changes would
 * then restore as something that never was.
 *
 * @returns the disks, and a sentence for each that is a base where changes were asked for, or that is missing now
 * @throws BackupError UNSUPPORTED_DISK for an image that cannot keep a bitmap where one is needed
 */
export function planDisks(
  found: readonly FoundDisk[],
  input: DiskPlanInput,
): { disks: PlannedDisk[]; warnings: string[] } {
  const { parent } = input;
  const warnings: string[] = [];
  const disks = found.map((disk) => {
    requireBitmapVersion(disk, input.level);
    const reason = parent === null ? null : groundsForBase(parent, disk, found, input.tracked);
    if (reason !== null && disk.tracksChanges)
      warnings.push(`disk ${disk.target} ${reason}: all of it is saved, as a new base`);
    return planned(disk, parent !== null && reason === null ? parent.id : null, input);
  });
  const gone = parent?.disks.filter(({ disk, kind }) => kind === 'stream' && !found.some((d) => d.target === disk));
  for (const { disk } of gone ?? [])
    warnings.push(`disk ${disk}, which the restore point ${parent?.id} has, is not in this backup`);
  return { disks, warnings };
}

function planned(disk: FoundDisk, since: string | null, input: DiskPlanInput): PlannedDisk {
  const { level, checkpointName, taken } = input;
  const { target } = disk;
  const plain = input.output === 'raw' || !disk.tracksChanges;
  const copy = dataFileName({ disk: target, level: 'copy' });
  if (level === 'copy' || level === 'full') {
    // A raw image is a copy whatever the level, unless a copy before the first full has that name.
    const file = dataFileName({ disk: target, level: disk.tracksChanges ? level : 'copy' });
    if (plain && !taken.has(file)) return { ...disk, since: null, output: 'raw', file, header: null };
  }
  const header = { checkpointName, parentCheckpoint: since ?? '' };
  if (level === 'copy') return { ...disk, since: null, output: 'stream', file: copy, header };
  const whole = dataFileName({ disk: target, level: 'full' });
  // A disk that is new to the folder begins as in a full, so that every disk has one.
  const isNew = level === 'full' || (level === 'inc' && since === null && !taken.has(whole));
  const change = { disk: target, level, checkpoint: input.point, unixTime: input.point };
  return { ...disk, since, output: 'stream', file: isNew ? whole : dataFileName(change), header };
}

function requireBitmapVersion({ target, source, compat, tracksChanges }: FoundDisk, level: BackupLevel): void {
  if (level === 'copy' || !tracksChanges || compat !== '0.10') return;
  throw new BackupError(
    'UNSUPPORTED_DISK',
    `disk ${target} is a qcow2 image of version 2, which cannot keep a dirty bitmap: only level copy works; with ` +
      `the VM off, convert it: qemu-img amend -f qcow2 -o compat=1.1 ${source}`,
    { disk: target },
  );
}

/** Why an increment of this disk cannot start from the parent point; null when it can. */
function groundsForBase(
  parent: RestorePoint,
  disk: FoundDisk,
  all: readonly FoundDisk[],
  tracked: ReadonlySet<string>,
): string | null {
  if (!disk.tracksChanges) return 'is a raw image, which tells no changes';
  const before = parent.disks.find((known) => known.disk === disk.target);
  if (before === undefined) return `is not in the restore point ${parent.id}`;
  if (before.kind === 'raw') return `is a raw image in the restore point ${parent.id}, which takes no increments`;
  if (before.virtualSize !== disk.virtualSize)
    return `has ${disk.virtualSize} bytes now, and had ${before.virtualSize} at the restore point ${parent.id}`;
  if (before.images !== undefined && !before.images.some((path) => ownImages(disk, all, parent).includes(path)))
    return `has the image ${disk.source} now, and had ${before.images[0]} at the restore point ${parent.id}`;
  if (!tracked.has(disk.target)) return `no longer knows what has changed since ${parent.id}`;
  return null;
}

/**
 * The images by which a disk is known to be the one that it was: an external snapshot puts a new one on top, a commit
 * takes it away, so one in common is enough; but not one that another disk has, or had, as well.
 */
function ownImages({ target, images }: FoundDisk, all: readonly FoundDisk[], parent: RestorePoint): string[] {
  const others = new Set([
    ...all.filter((disk) => disk.target !== target).flatMap((disk) => disk.images),
    ...parent.disks.filter(({ disk }) => disk !== target).flatMap((disk) => disk.images ?? []),
  ]);
  return images.filter((path) => !others.has(path));
}
