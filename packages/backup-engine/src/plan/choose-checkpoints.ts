import { type BackupSet, runDescription, type StoredCheckpoint } from '@virtnbd/backup-set';
import {
  acceptPlan,
  type CheckpointPlan,
  planCheckpoints,
  type Redefinition,
  readCheckpoints,
  redefineMissing,
  trackedDisks,
} from '@virtnbd/checkpoint-store';
import type { LibvirtConnection } from '@virtnbd/libvirt-ops';
import type { BackupLevel } from '../context.ts';
import type { BackupListener } from '../events.ts';
import type { FoundDisk } from './disk-plan.ts';
import type { DomainState } from './plan.ts';

/** What the choice of checkpoints goes by. */
export interface CheckpointSituation {
  readonly level: BackupLevel;
  readonly set: Pick<BackupSet, 'checkpoints' | 'storedCheckpoints'>;
  /** Checkpoints of failed runs that cannot be deleted before the VM runs again. */
  readonly uncommitted: readonly string[];
  /** Nothing is defined again, nor rolled back: the plan is what follows if the first fails, and the second is done. */
  readonly lookOnly: boolean;
  readonly tell: BackupListener;
}

/**
 * Which checkpoint the run creates, starts from, and removes. Ones that libvirt has forgotten and whose XML is at hand
 * are defined again first: only then can be told whether an increment can start from them.
 *
 * @throws CheckpointStoreError for checkpoints that are not this folder's
 */
export async function chooseCheckpoints(
  libvirt: LibvirtConnection,
  uuid: string,
  { level, set, uncommitted, lookOnly, tell }: CheckpointSituation,
): Promise<CheckpointPlan> {
  const recorded = set.checkpoints.map(({ run, ...known }) => ({
    ...known,
    description: run === null ? null : runDescription(run),
  }));
  const plan = async (stored: readonly StoredCheckpoint[]): Promise<CheckpointPlan | Redefinition> => {
    const known = await readCheckpoints(libvirt, uuid);
    const isPending = (name: string): boolean =>
      uncommitted.includes(name) && !set.checkpoints.some((committed) => committed.name === name);
    const domain = lookOnly ? known.filter(({ name }) => !isPending(name)) : known;
    return acceptPlan(planCheckpoints({ level, domain, recorded, stored, uncommitted }));
  };
  const first = await plan(set.storedCheckpoints);
  if (first.kind !== 'redefine') return first;
  const forgotten = `libvirt has forgotten the checkpoints ${first.checkpoints.join(', ')}`;
  if (lookOnly) tell({ type: 'warning', message: `${forgotten}; a backup defines them again first` });
  else tell({ type: 'warning', message: `${forgotten}; they are defined again` });
  if (lookOnly) return whatFollows(await plan([]));
  const wanted = set.storedCheckpoints.filter(({ name }) => first.checkpoints.includes(name));
  const { failed } = await redefineMissing(libvirt, uuid, wanted);
  if (failed !== null)
    tell({ type: 'warning', message: `${failed.name} cannot be defined again: ${failed.error.message}` });
  return whatFollows(await plan([]));
}

function whatFollows(plan: CheckpointPlan | Redefinition): CheckpointPlan {
  if (plan.kind === 'redefine') throw new Error('nothing is left to define again');
  return plan;
}

/** Disks that can tell what has changed since the checkpoint that the run starts from. */
export async function trackedSince(
  libvirt: LibvirtConnection,
  at: {
    readonly uuid: string;
    readonly state: DomainState;
    readonly checkpoints: CheckpointPlan;
    readonly disks: readonly FoundDisk[];
    /** The parent point's data does not lie in the folder. */
    readonly piped: boolean;
  },
): Promise<Set<string>> {
  const { uuid, state, checkpoints, disks, piped } = at;
  if (checkpoints.parent === null || checkpoints.lost) return new Set();
  // A bitmap that cannot be believed without a look at the data.
  if (checkpoints.definedAgain && piped) return new Set();
  const { name } = checkpoints.parent;
  if (state !== 'off') return await trackedDisks(libvirt, uuid, name);
  // Of a VM that is off the images tell, if they were stored in good order when it ended.
  const usable = disks.filter(({ bitmaps }) => bitmaps.some((bitmap) => bitmap.name === name && !bitmap.inUse));
  return new Set(usable.map(({ target }) => target));
}
