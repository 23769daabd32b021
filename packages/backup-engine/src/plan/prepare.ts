import { BackupSet, type DomainIdentity, type RestorePoint } from '@virtnbd/backup-set';
import { type CheckpointPlan, checkpointName, ownNumber } from '@virtnbd/checkpoint-store';
import type { Host } from '@virtnbd/host';
import { type DomainDescription, type LibvirtConnection, LibvirtError, parseDomain } from '@virtnbd/libvirt-ops';
import type { BackupContext, BackupRequest } from '../context.ts';
import { BackupError, bitmapExists } from '../errors.ts';
import type { BackupListener } from '../events.ts';
import { type AgentState, readAgentTimeout } from '../guest/agent-timeout.ts';
import { hasJob } from '../job/job.ts';
import { planBeside } from './beside-plan.ts';
import { chooseCheckpoints, trackedSince } from './choose-checkpoints.ts';
import { type FoundDisk, planDisks } from './disk-plan.ts';
import { chooseDisks, type SavedDisk } from './disks.ts';
import { estimateDisks } from './estimate.ts';
import { checkFolder, chooseLevel, type DomainState, differentialId, type RunPlan } from './plan.ts';
import { preflight } from './preflight.ts';
import { resolveVolumes } from './resolve-volumes.ts';
import { inspectSource, type SourceImage, sourceByLibvirt } from './source-image.ts';

/** What was found before the plan is made. */
export interface Situation {
  readonly domain: DomainIdentity;
  readonly state: DomainState;
  /** Checkpoints of failed runs that cannot be deleted before the VM runs again. */
  readonly uncommitted: readonly string[];
}

interface PrepareOptions {
  /** Nothing at all may be changed, on the VM's side neither. */
  readonly lookOnly?: boolean;
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
  { host, hypervisor, pipe, transfer }: Pick<BackupContext, 'host' | 'hypervisor' | 'pipe' | 'transfer'>,
  libvirt: LibvirtConnection,
  { domain, state, uncommitted }: Situation,
  request: BackupRequest,
  { lookOnly = false, tell, signal }: PrepareOptions,
): Promise<RunPlan> {
  const domainXml = await wholeXml(libvirt, domain, tell);
  const description = await parseDomain(domainXml);
  const allDisks = await resolveVolumes(libvirt, description.disks);
  const handling = handlingOf(request, state);
  const acting = handling === 'start' ? 'paused' : state;
  const choice = chooseDisks(allDisks, request.selection, acting, state);
  for (const message of choice.notes) tell({ type: 'info', message });
  for (const message of choice.warnings) tell({ type: 'warning', message });
  if (hypervisor === null) requireRunning(state, domain);
  else if (acting !== 'off') await checkPaths(hypervisor, request);
  const piped = pipe !== undefined;
  if (piped && (request.output === 'raw' || request.selection?.raw))
    throw new BackupError('BAD_OPTIONS', 'raw images cannot go through a pipe; name a folder');
  const set = await BackupSet.openIfThere(host, request.folder, { piped, ...placeOf(request) });
  const { level, note } = chooseLevel(request, set, acting, choice.disks);
  if (note !== null) tell(note);
  checkFolder(level, domain, set, { requested: request.level, piped });
  if (await hasJob(libvirt, domain.uuid)) throw jobActive(domain);
  const checkpoints = await chooseCheckpoints(libvirt, domain.uuid, { level, set, uncommitted, lookOnly, tell });
  const parent = requireParent(set, checkpoints);
  const lookAt = (disk: SavedDisk): Promise<SourceImage> =>
    hypervisor === null || disk.onNetwork
      ? sourceByLibvirt(libvirt, domain.uuid, disk)
      : inspectSource(hypervisor, disk, signal);
  const found: FoundDisk[] = [];
  for (const disk of choice.disks) found.push({ ...disk, ...(await lookAt(disk)) });
  const point = pointId(checkpoints, set);
  requireFreeName(found, checkpoints);
  const { disks, warnings } = planDisks(found, {
    level,
    output: request.output ?? 'stream',
    point,
    checkpointName: headerName(checkpoints),
    parent,
    tracked: await trackedSince(libvirt, { uuid: domain.uuid, state, checkpoints, disks: found, piped }),
    taken: new Set(set.points.flatMap((known) => known.disks.map(({ file }) => file))),
  });
  for (const message of warnings) tell({ type: 'warning', message });
  const autostart = await libvirt.autostart(domain.uuid);
  const question = { description, uuid: domain.uuid, state, point, uri: libvirt.uri, autostart };
  const estimates = await estimateDisks(
    { libvirt, hypervisor, signal },
    { domain, disks, state, parent: parent?.id ?? null },
  );
  const plan: RunPlan = {
    ...{ level, domain, state: acting, handling, point, disks, domainXml, estimates },
    checkpoint: checkpoints.create,
    parent: parent?.id ?? null,
    compare: checkpoints.parent !== null && checkpoints.definedAgain,
    superseded: checkpoints.remove,
    allDisks,
    beside: await planBeside({ host: hypervisor, libvirt }, question, tell),
    agent: await agentState(hypervisor, description, domain),
    securityModels: description.securityModels,
  };
  const { qemuUser } = description;
  const network = transfer !== undefined;
  await preflight({
    libvirt,
    host,
    hypervisor,
    request,
    plan,
    guest: description,
    estimates,
    qemuUser,
    piped,
    network,
    tell,
  });
  return plan;
}

/** The VM's configuration with the passwords of its consoles: without them a restored one would ask for none. */
async function wholeXml(libvirt: LibvirtConnection, { uuid }: DomainIdentity, tell: BackupListener): Promise<string> {
  try {
    return await libvirt.domainXml(uuid, { secure: true });
  } catch (error) {
    if (!(error instanceof LibvirtError) || !REFUSED.includes(error.code)) throw error;
    tell({ type: 'warning', message: `the passwords in the VM's configuration are not saved: ${error.message}` });
    return await libvirt.domainXml(uuid);
  }
}

/** What libvirt says to a user who may see the VM, but not its secrets. */
const REFUSED: readonly string[] = ['ACCESS_DENIED', 'OPERATION_DENIED', 'AUTH_UNAVAILABLE'];

async function agentState(
  hypervisor: Host | null,
  { guestAgent, guestAgentConnected }: DomainDescription,
  domain: DomainIdentity,
): Promise<AgentState> {
  if (!guestAgent || guestAgentConnected === false) return { reachable: false, timeout: null };
  const timeout = hypervisor === null ? null : await readAgentTimeout(hypervisor, domain, process.env);
  return { reachable: true, timeout };
}

function handlingOf({ startDomain, pause }: BackupRequest, state: DomainState): RunPlan['handling'] {
  if (state === 'off') return startDomain ? 'start' : 'none';
  return state === 'running' && pause ? 'pause' : 'none';
}

/** Where the checkpoints' XML lies, for those who look into the folder. */
export function placeOf({ checkpointFolder }: BackupRequest): { checkpointFolder?: string } {
  return checkpointFolder === undefined ? {} : { checkpointFolder };
}

/**
 * A bitmap of the new checkpoint's name, which none of libvirt's checkpoints belongs to, would keep the job from
 * beginning. A full removes such bitmaps; an increment must not.
 */
function requireFreeName(disks: readonly FoundDisk[], { kind, create }: CheckpointPlan): void {
  const taken = disks.find(({ bitmaps }) => bitmaps.some(({ name }) => name === create));
  if (kind !== 'inc' || taken === undefined) return;
  throw bitmapExists(create, taken.target);
}

function pointId({ kind, create }: CheckpointPlan, set: BackupSet): string {
  if (kind === 'diff') return differentialId(Date.now(), set);
  return create ?? 'copy';
}

/**
 * The checkpoint that the established tool names in headers: `virtnbdbackup.0` also for a copy, and for a differential
 * the one that the next increment will have.
 */
function headerName({ kind, create, parent }: CheckpointPlan): string {
  return create ?? checkpointName(kind === 'diff' ? (ownNumber(parent.name) ?? 0) + 1 : 0);
}

/** The images of a VM that is off are read by programs on its host. */
function requireRunning(state: DomainState, { name }: DomainIdentity): void {
  if (state !== 'off') return;
  throw new BackupError(
    'ONLY_LIBVIRT',
    `the VM ${name} is off, and over this URI only libvirt's daemon is reached, not the images; start the VM, or connect ` +
      'with qemu+ssh',
  );
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

/** The parent point must be one that can be restored: an increment upon a broken chain would be worth nothing. */
function requireParent(set: BackupSet, { parent }: CheckpointPlan): RestorePoint | null {
  if (parent === null) return null;
  set.chain(parent.name);
  return set.point(parent.name);
}
