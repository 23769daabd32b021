import { BackupSet, type DomainIdentity, type RestorePoint, runDescription } from '@virtnbd/backup-set';
import {
  acceptPlan,
  type CheckpointPlan,
  checkpointName,
  type DomainCheckpoint,
  ownNumber,
  planCheckpoints,
  readCheckpoints,
  redefineMissing,
} from '@virtnbd/checkpoint-store';
import type { Host } from '@virtnbd/host';
import { type LibvirtConnection, parseDomain } from '@virtnbd/libvirt-ops';
import type { BackupContext, BackupLevel, BackupRequest, RequestedLevel } from './context.ts';
import { chooseDisks } from './disks.ts';
import { BackupError } from './errors.ts';
import type { BackupEvent, BackupListener } from './events.ts';
import { hasJob } from './job.ts';
import {
  checkDisks,
  checkFolder,
  type DomainState,
  differentialId,
  levelFor,
  type PlannedDisk,
  type RunPlan,
} from './plan.ts';
import { inspectSource } from './source-image.ts';

/** What was found before the plan is made. */
export interface Situation {
  readonly domain: DomainIdentity;
  readonly state: DomainState;
  /** Checkpoints of failed runs that cannot be deleted before the VM runs again. */
  readonly uncommitted: readonly string[];
}

interface PrepareOptions {
  readonly tell: BackupListener;
  readonly signal: AbortSignal;
}

/**
 * Every check that can fail before anything is changed, and what follows from what it found.
 *
 * The one exception is a checkpoint that libvirt has forgotten and whose bitmap is still there: it is defined again, as
 * only then can be told whether an increment can start from it.
 */
export async function prepare(
  { host, hypervisor, pipe }: Pick<BackupContext, 'host' | 'hypervisor' | 'pipe'>,
  libvirt: LibvirtConnection,
  { domain, state, uncommitted }: Situation,
  request: BackupRequest,
  { tell, signal }: PrepareOptions,
): Promise<RunPlan> {
  const domainXml = await libvirt.domainXml(domain.uuid);
  const description = await parseDomain(domainXml);
  const choice = chooseDisks(description.disks, request.selection);
  for (const message of choice.notes) tell({ type: 'info', message });
  for (const message of choice.warnings) tell({ type: 'warning', message });
  if (state !== 'off') await checkPaths(hypervisor, request);
  const piped = pipe !== undefined;
  const set = await BackupSet.open(host, request.folder, { piped });
  const level = levelFor(request.level, set, state);
  if (level !== request.level) tell(levelNote(request.level, level, state));
  checkFolder(level, domain, set, { requested: request.level, piped });
  if (await hasJob(libvirt, domain.uuid)) throw jobActive(domain);
  const checkpoints = await decide(libvirt, domain.uuid, { level, set, uncommitted, tell });
  const parent = requireParent(set, checkpoints);
  const disks: PlannedDisk[] = [];
  for (const disk of choice.disks) disks.push({ ...disk, ...(await inspectSource(hypervisor, disk, signal)) });
  checkDisks(level, disks, parent);
  if (state === 'off' && parent !== null) requireBitmaps(disks, parent.id);
  return {
    level,
    domain,
    state,
    point: pointId(checkpoints, set),
    header: headerNames(checkpoints),
    checkpoint: checkpoints.create,
    incremental: checkpoints.parent?.name ?? null,
    superseded: checkpoints.remove,
    disks,
    allDisks: description.disks,
    domainXml,
  };
}

/** Says which level is taken instead of the one asked for, and why. */
function levelNote(requested: RequestedLevel, level: BackupLevel, state: DomainState): BackupEvent {
  if (state === 'off' && (requested !== 'auto' || level === 'copy'))
    return {
      type: 'warning',
      message: `the VM is off, and libvirt makes no checkpoint then: level ${requested} is made as ${level}`,
    };
  const why = level === 'full' ? 'the folder holds no full backup yet' : 'the folder holds a full backup';
  return { type: 'info', message: `level auto: ${why}, so this is level ${level}` };
}

function pointId({ kind, create }: CheckpointPlan, set: BackupSet): string {
  if (kind === 'diff') return differentialId(Date.now(), set);
  return create ?? 'copy';
}

/**
 * What the established tool writes into headers: `virtnbdbackup.0` also for a copy, and for a differential the name that
 * the next increment will have.
 */
function headerNames({ kind, create, parent }: CheckpointPlan): RunPlan['header'] {
  const next = kind === 'diff' ? (ownNumber(parent.name) ?? 0) + 1 : 0;
  return { checkpointName: create ?? checkpointName(next), parentCheckpoint: parent?.name ?? '' };
}

/** A unix socket's path, with the NUL at its end, fits into 108 bytes. */
const MAX_SOCKET_PATH = 107;

/** What the user names for the job, before the job would stumble over it: by then an older chain may have ended. */
async function checkPaths(host: Host, { socketPath, scratchFolder = '/var/tmp' }: BackupRequest): Promise<void> {
  if ((await host.files.stat(scratchFolder))?.kind !== 'folder')
    throw new BackupError(
      'BAD_PATH',
      `the scratch folder ${scratchFolder} is no folder; name one that qemu can write to`,
    );
  if (socketPath === undefined) return;
  if (Buffer.byteLength(socketPath) > MAX_SOCKET_PATH)
    throw new BackupError('BAD_PATH', `the socket's path is longer than ${MAX_SOCKET_PATH} bytes: ${socketPath}`);
  if ((await host.files.stat(socketPath)) !== null)
    throw new BackupError('BAD_PATH', `${socketPath} is there already; name another path for the socket, or remove it`);
}

function jobActive({ name }: DomainIdentity): BackupError {
  return new BackupError(
    'JOB_ACTIVE',
    `the VM ${name} has a backup job already; wait until it ends, or look at it with: virsh domjobinfo ${name}`,
  );
}

async function decide(
  libvirt: LibvirtConnection,
  uuid: string,
  {
    level,
    set,
    uncommitted,
    tell,
  }: { level: BackupLevel; set: BackupSet; tell: BackupListener } & Pick<Situation, 'uncommitted'>,
): Promise<CheckpointPlan> {
  const stored = set.storedCheckpoints;
  const plan = (domain: DomainCheckpoint[]) =>
    acceptPlan(
      planCheckpoints({
        level,
        domain,
        recorded: set.checkpoints.map(({ run, ...known }) => ({
          ...known,
          description: run === null ? null : runDescription(run),
        })),
        stored: stored.map(({ name }) => name),
        uncommitted,
      }),
    );
  const first = plan(await readCheckpoints(libvirt, uuid));
  if (first.kind !== 'redefine') return first;
  const names = first.checkpoints.join(', ');
  tell({ type: 'warning', message: `libvirt has forgotten the checkpoints ${names}; they are defined again` });
  const wanted = stored.filter(({ name }) => first.checkpoints.includes(name));
  const { failed } = await redefineMissing(libvirt, uuid, wanted);
  if (failed !== null) throw bitmapLost(failed.name, failed.error);
  const second = plan(await readCheckpoints(libvirt, uuid));
  if (second.kind === 'redefine') throw bitmapLost(names, undefined);
  return second;
}

/** Every image of a VM that is off must have the bitmap of the checkpoint, stored in good order when the VM ended. */
function requireBitmaps(disks: readonly PlannedDisk[], checkpoint: string): void {
  const lost = disks.find(({ bitmaps }) => !bitmaps.some(({ name, inUse }) => name === checkpoint && !inUse));
  if (lost !== undefined) throw bitmapLost(checkpoint, undefined);
}

/** What a backup that cannot start from its parent says. */
export function bitmapLost(checkpoint: string, cause: unknown): BackupError {
  return new BackupError(
    'BITMAP_LOST',
    `the VM's disks no longer know what has changed since ${checkpoint}, so nothing can be saved incrementally; make a ` +
      'full backup into a new folder',
    { cause },
  );
}

/** The parent point must be one that can be restored: an increment upon a broken chain would be worth nothing. */
function requireParent(set: BackupSet, { parent }: CheckpointPlan): RestorePoint | null {
  if (parent === null) return null;
  set.chain(parent.name);
  return set.point(parent.name);
}
