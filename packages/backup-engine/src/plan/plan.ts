import type { BackupSet, DomainIdentity } from '@virtnbd/backup-set';
import type { DiskDescription } from '@virtnbd/libvirt-ops';
import type { BackupLevel, BackupRequest, RequestedLevel } from '../context.ts';
import { BackupError } from '../errors.ts';
import type { AgentState } from '../guest/agent-timeout.ts';
import type { BesidePlan } from './beside-plan.ts';
import type { PlannedDisk } from './disk-plan.ts';
import type { SavedDisk } from './disks.ts';
import type { DiskEstimate } from './estimate.ts';

/** What a VM does while it is backed up: `paused` is every state in which it has a process but runs no code. */
export type DomainState = 'running' | 'paused' | 'off';

/** Everything that a run has decided before it changes anything. */
export interface RunPlan {
  readonly level: BackupLevel;
  readonly domain: DomainIdentity;
  /** As the run has it while it copies: `paused`, too, of a VM that it starts. */
  readonly state: DomainState;
  /** What the run does to the VM: starts it for the time of the run, or pauses it while the job begins. */
  readonly handling: 'none' | 'start' | 'pause';
  /** Id of the new restore point: the checkpoint's name, `copy`, or the unix time of a differential. */
  readonly point: string;
  /** The checkpoint to create; null for a copy and a differential. */
  readonly checkpoint: string | null;
  /** The point that this one follows; null for a full and a copy. */
  readonly parent: string | null;
  /** What is said not to have changed since is compared with the parent point: whose bitmaps these are is not known. */
  readonly compare: boolean;
  /** Checkpoints of an older chain that a full removes. */
  readonly superseded: readonly string[];
  readonly disks: readonly PlannedDisk[];
  /** All disks of the VM. */
  readonly allDisks: readonly DiskDescription[];
  readonly domainXml: string;
  readonly beside: BesidePlan;
  readonly agent: AgentState;
  readonly estimates: readonly DiskEstimate[];
  /** What confines the VM's qemu: `apparmor`, `selinux`. */
  readonly securityModels: readonly string[];
}

/** The part of a folder's state that a plan goes by. */
export type FolderState = Pick<BackupSet, 'folder' | 'points' | 'problems'>;

/** The level that a run has, and why it is not the one asked for. */
export interface LevelChoice {
  readonly level: BackupLevel;
  /** What the user should hear; null when it is just what was asked for. */
  readonly note: { readonly type: 'info' | 'warning'; readonly message: string } | null;
}

/**
 * The level that the request means for this folder, this state of the VM and these disks. libvirt makes no checkpoint for
 * a VM that is off, so a full is a copy then, and an increment a differential to the last checkpoint; and raw images have
 * none ever, so a full of nothing else is a copy, too.
 *
 * @throws BackupError BAD_OPTIONS, NO_DISKS
 */
export function chooseLevel(
  { level: requested, output = 'stream', compress }: Pick<BackupRequest, 'level' | 'output' | 'compress'>,
  { points }: Pick<FolderState, 'points'>,
  state: DomainState,
  disks: readonly Pick<SavedDisk, 'tracksChanges'>[],
): LevelChoice {
  const hasFull = points.some(({ level }) => level === 'full');
  const picked = requested === 'auto' ? (hasFull ? 'inc' : 'full') : requested;
  const whole = picked === 'full' || picked === 'copy';
  if (output === 'raw' && compress !== undefined)
    throw new BackupError('BAD_OPTIONS', 'raw images are not compressed: give type raw or a compression, not both');
  if (output === 'raw' && !whole)
    throw new BackupError('BAD_OPTIONS', `a raw image holds no changes: level ${picked} needs type stream`);
  const tracked = disks.some(({ tracksChanges }) => tracksChanges);
  if (!tracked && !whole)
    throw new BackupError(
      'NO_DISKS',
      `level ${picked} saves what has changed, and none of the chosen disks can tell: they are raw images; save them by ` +
        'copies, each into a folder of its own: -l copy --raw',
    );
  if (picked === 'full' && !tracked) return warned('copy', requested, 'raw images have no checkpoints');
  if (state === 'off' && picked === 'full') return warned('copy', requested, 'libvirt makes none for a VM that is off');
  if (state === 'off' && !whole)
    return requested === 'diff'
      ? { level: 'diff', note: null }
      : warned('diff', requested, 'libvirt makes none for a VM that is off');
  if (requested !== 'auto') return { level: picked, note: null };
  const why = hasFull ? 'the folder holds a full backup' : 'the folder holds no full backup yet';
  return { level: picked, note: { type: 'info', message: `level auto: ${why}, so this is level ${picked}` } };
}

function warned(level: BackupLevel, requested: RequestedLevel, why: string): LevelChoice {
  const message = `level ${requested} is made as ${level}, without a checkpoint: ${why}`;
  return { level, note: { type: requested === 'auto' && level === 'diff' ? 'info' : 'warning', message } };
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
  // A run of ours that has not ended names its point: it is put right by every run, as far as the VM lets it.
  const left = set.problems.filter(({ code, point }) => code === 'UNFINISHED' && point === undefined);
  const unfinished = left.flatMap(({ files }) => files);
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
