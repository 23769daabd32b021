import type { BackupSet, DomainIdentity, RestorePoint } from '@virtnbd/backup-set';
import type { DiskDescription } from '@virtnbd/libvirt-ops';
import type { BackupLevel, RequestedLevel } from './context.ts';
import type { SavedDisk } from './disks.ts';
import { BackupError } from './errors.ts';
import type { SourceImage } from './source-image.ts';

/** A disk that will be saved, and what is known of its image. */
export interface PlannedDisk extends SavedDisk, SourceImage {}

/** What a VM does while it is backed up: `paused` is every state in which it has a process but runs no code. */
export type DomainState = 'running' | 'paused' | 'off';

/** Everything that a run has decided before it changes anything. */
export interface RunPlan {
  readonly level: BackupLevel;
  readonly domain: DomainIdentity;
  readonly state: DomainState;
  /** Id of the new restore point: the checkpoint's name, `copy`, or the unix time of a differential. */
  readonly point: string;
  /** The checkpoint to create; null for a copy and a differential. */
  readonly checkpoint: string | null;
  /** The checkpoint since which changes are saved, which is also the parent point; null for a whole backup. */
  readonly incremental: string | null;
  /** Checkpoints of an older chain that a full removes. */
  readonly superseded: readonly string[];
  /** What the headers of the stream files say. */
  readonly header: { readonly checkpointName: string; readonly parentCheckpoint: string };
  readonly disks: readonly PlannedDisk[];
  /** All disks of the VM. */
  readonly allDisks: readonly DiskDescription[];
  readonly domainXml: string;
}

/** The part of a folder's state that a plan goes by. */
export type FolderState = Pick<BackupSet, 'folder' | 'points' | 'problems'>;

/**
 * The level that `requested` means for this folder and this state of the VM. libvirt makes no checkpoint for a VM that is
 * off, so a full is a copy then, and an increment a differential to the last checkpoint.
 */
export function levelFor(
  requested: RequestedLevel,
  { points }: Pick<FolderState, 'points'>,
  state: DomainState,
): BackupLevel {
  const auto = points.some(({ level }) => level === 'full') ? 'inc' : 'full';
  const level = requested === 'auto' ? auto : requested;
  if (state !== 'off') return level;
  return level === 'full' || level === 'copy' ? 'copy' : 'diff';
}

/**
 * The id of a new differential: the time in whole seconds since 1970, or the first after it that no point has.
 *
 * @param now milliseconds since 1970
 */
export function differentialId(now: number, { points }: Pick<FolderState, 'points'>): string {
  for (let time = Math.floor(now / 1000); ; time++)
    if (!points.some(({ id }) => id === String(time))) return String(time);
}

/**
 * Whether the folder can take a backup of this level.
 *
 * @throws BackupError FOLDER_NOT_EMPTY (full, copy), FOLDER_IN_USE, WRONG_DOMAIN, NOTHING_TO_INCREMENT (inc, diff)
 */
export function checkFolder(
  level: BackupLevel,
  domain: DomainIdentity,
  set: FolderState,
  { requested = level, piped = false }: { requested?: RequestedLevel; piped?: boolean } = {},
): void {
  const stranger = set.points.find(({ manifest }) => manifest !== null && manifest.domain.uuid !== domain.uuid);
  if (stranger?.manifest)
    throw new BackupError(
      'WRONG_DOMAIN',
      `${set.folder} holds backups of the VM ${stranger.manifest.domain.name} (${stranger.manifest.domain.uuid}), ` +
        `not of ${domain.name} (${domain.uuid}); give each VM a folder of its own`,
    );
  const unfinished = set.problems.filter(({ code }) => code === 'UNFINISHED').flatMap(({ files }) => files);
  if (unfinished.length > 0)
    throw new BackupError(
      'FOLDER_IN_USE',
      `${set.folder} holds what another tool's interrupted run left: ${unfinished.join(', ')}; remove these files, ` +
        'or use another folder',
    );
  if (level === 'inc' || level === 'diff') {
    if (set.points.some((point) => point.level === 'full')) return;
    throw new BackupError(
      'NOTHING_TO_INCREMENT',
      `${set.folder} holds no full backup to start from; make one with: -l full`,
    );
  }
  // Files of an older chain cannot be mistaken for those of the new one where neither lies in the folder.
  if (piped) return;
  // What auto has made of a VM that was off is in nobody's way, and no parent either.
  if (requested === 'auto' && level === 'full' && set.points.length > 0) {
    if (set.points.every((point) => point.level === 'copy' && point.manifest !== null)) return;
  }
  const used = set.points[0]?.disks[0]?.file ?? set.problems.find(({ severity }) => severity === 'error')?.files[0];
  if (used === undefined) return;
  throw new BackupError(
    'FOLDER_NOT_EMPTY',
    `${set.folder} already holds a backup (${used}); a ${level} needs a folder of its own: use a new one`,
  );
}

/**
 * Whether every disk can take part at this level: a checkpoint needs qcow2 version 3, and an increment needs, for each
 * disk, the parent point's data of the same disk in the same size.
 *
 * @param parent the point to go on from; null for full and copy
 * @throws BackupError UNSUPPORTED_DISK, DISKS_CHANGED
 */
export function checkDisks(level: BackupLevel, disks: readonly PlannedDisk[], parent: RestorePoint | null): void {
  for (const disk of disks) {
    const { target, source, compat } = disk;
    if (level !== 'copy' && compat === '0.10')
      throw new BackupError(
        'UNSUPPORTED_DISK',
        `disk ${target} is a qcow2 image of version 2, which cannot keep a dirty bitmap: only level copy works; with ` +
          `the VM off, convert it: qemu-img amend -f qcow2 -o compat=1.1 ${source}`,
        { disk: target },
      );
    if (parent === null) continue;
    const change = changeSince(parent, disk, disks);
    if (change === null) continue;
    throw new BackupError('DISKS_CHANGED', `disk ${target} ${change}; make a full backup into a new folder`, {
      disk: target,
    });
  }
  if (parent === null) return;
  const gone = parent.disks.find(({ disk, kind }) => kind === 'stream' && !disks.some(({ target }) => target === disk));
  if (gone)
    throw new BackupError(
      'DISKS_CHANGED',
      `disk ${gone.disk} is in the restore point ${parent.id} but not in this backup: later increments could not ` +
        'restore it; save the same disks as before, or make a full backup into a new folder',
      { disk: gone.disk },
    );
}

/** Why an increment of this disk cannot start from the parent point; null when it can. */
function changeSince(parent: RestorePoint, disk: PlannedDisk, all: readonly PlannedDisk[]): string | null {
  const before = parent.disks.find((known) => known.disk === disk.target);
  if (before === undefined)
    return `is not in the restore point ${parent.id}: leave it out as before, with -x ${disk.target}, or else`;
  if (before.virtualSize !== disk.virtualSize)
    return `has ${disk.virtualSize} bytes, and had ${before.virtualSize} at the restore point ${parent.id}`;
  if (before.images === undefined || before.images.some((path) => ownImages(disk, all, parent).includes(path)))
    return null;
  return `has the image ${disk.source}, and had ${before.images[0]} at the restore point ${parent.id}`;
}

/**
 * The images by which a disk is known to be the one that it was: an external snapshot puts a new one on top, a commit
 * takes it away, so one in common is enough; but not one that another disk has, or had, as well.
 */
function ownImages({ target, images }: PlannedDisk, all: readonly PlannedDisk[], parent: RestorePoint): string[] {
  const others = new Set([
    ...all.filter((disk) => disk.target !== target).flatMap((disk) => disk.images),
    ...parent.disks.filter(({ disk }) => disk !== target).flatMap((disk) => disk.images ?? []),
  ]);
  return images.filter((path) => !others.has(path));
}
