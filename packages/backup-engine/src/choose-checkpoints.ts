import { type BackupSet, runDescription } from '@virtnbd/backup-set';
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
import type { BackupLevel } from './context.ts';
import type { FoundDisk } from './disk-plan.ts';
import type { BackupListener } from './events.ts';
import type { DomainState } from './plan.ts';

/** What the choice of checkpoints goes by. */
export interface CheckpointSituation {
  readonly level: BackupLevel;
  readonly set: Pick<BackupSet, 'checkpoints' | 'storedCheckpoints'>;
  /** Checkpoints of failed runs that cannot be deleted before the VM runs again. */
  readonly uncommitted: readonly string[];
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
  { level, set, uncommitted, tell }: CheckpointSituation,
): Promise<CheckpointPlan> {
  const recorded = set.checkpoints.map(({ run, ...known }) => ({
    ...known,
    description: run === null ? null : runDescription(run),
  }));
  const plan = async (stored: readonly string[]): Promise<CheckpointPlan | Redefinition> => {
    const domain = await readCheckpoints(libvirt, uuid);
    return acceptPlan(planCheckpoints({ level, domain, recorded, stored, uncommitted }));
  };
  const first = await plan(set.storedCheckpoints.map(({ name }) => name));
  if (first.kind !== 'redefine') return first;
  tell({
    type: 'warning',
    message: `libvirt has forgotten the checkpoints ${first.checkpoints.join(', ')}; they are defined again`,
  });
  const wanted = set.storedCheckpoints.filter(({ name }) => first.checkpoints.includes(name));
  const { failed } = await redefineMissing(libvirt, uuid, wanted);
  if (failed !== null)
    tell({ type: 'warning', message: `${failed.name} cannot be defined again: ${failed.error.message}` });
  const second = await plan([]);
  if (second.kind === 'redefine') throw new Error('nothing is left to define again');
  return second;
}

/** Disks that can tell what has changed since the checkpoint that the run starts from. */
export async function trackedSince(
  libvirt: LibvirtConnection,
  at: {
    readonly uuid: string;
    readonly state: DomainState;
    readonly checkpoints: CheckpointPlan;
    readonly disks: readonly FoundDisk[];
  },
): Promise<Set<string>> {
  const { uuid, state, checkpoints, disks } = at;
  if (checkpoints.parent === null || checkpoints.lost) return new Set();
  const { name } = checkpoints.parent;
  if (state !== 'off') return await trackedDisks(libvirt, uuid, name);
  // Of a VM that is off the images tell, if they were stored in good order when it ended.
  const usable = disks.filter(({ bitmaps }) => bitmaps.some((bitmap) => bitmap.name === name && !bitmap.inUse));
  return new Set(usable.map(({ target }) => target));
}
