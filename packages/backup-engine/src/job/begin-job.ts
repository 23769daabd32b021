import { runDescription, type SetTransaction } from '@virtnbd/backup-set';
import { readCheckpoints } from '@virtnbd/checkpoint-store';
import type { BackupRequest } from '../context.ts';
import { BackupError } from '../errors.ts';
import { withAgentTimeout } from '../guest/agent-timeout.ts';
import { whileFrozen } from '../guest/frozen.ts';
import { whilePaused } from '../guest/paused.ts';
import type { RunPlan } from '../plan/plan.ts';
import type { TransactionTools } from '../run-tools.ts';
import { beginError } from './begin-error.ts';
import { inSpiteOfBusyClock } from './busy-clock.ts';
import type { DiskExports } from './disk-exports.ts';
import { endJob, exportBitmap, jobXml } from './job.ts';
import { type JobPaths, jobTraces, requireHypervisor } from './job-paths.ts';
import { networkExports } from './network-exports.ts';
import { socketExports } from './socket-exports.ts';

/** What the job of a VM that runs needs to be told. */
export interface JobBeginning {
  readonly request: BackupRequest;
  readonly plan: RunPlan;
  /** Takes down the checkpoint; null for a job that makes none. */
  readonly transaction: SetTransaction | null;
  readonly job: JobPaths;
  /** Called at the moment that the backup is of. */
  readonly onMoment: () => void;
  /** Called when the guest's agent has answered. */
  readonly onAgent: () => void;
}

/**
 * Begins the job of a full without its checkpoint, and ends it at once: whatever would keep the real one from beginning
 * shows here, before the chain of checkpoints that it replaces is gone.
 */
export async function rehearseJob(tools: TransactionTools, plan: RunPlan, paths: JobPaths): Promise<void> {
  const { disks, allDisks, domain } = plan;
  const { backupXml } = jobXml({ ...paths, checkpoint: null }, disks, allDisks);
  await tools.libvirt.backupBegin(domain.uuid, backupXml);
  await endJob(tools.libvirt, domain.uuid, jobTraces(paths, plan));
  if (paths.socketPath !== null) await tools.context.hypervisor?.files.remove(paths.socketPath);
}

/** Begins a pull-mode job, with the guest frozen for the moment, and records the checkpoint that it made. */
export async function beginJob(tools: TransactionTools, beginning: JobBeginning): Promise<DiskExports> {
  const { libvirt, context } = tools;
  const { request, plan, transaction, job, onMoment, onAgent } = beginning;
  const { domain, checkpoint, disks, allDisks } = plan;
  const wanted =
    checkpoint === null || transaction === null
      ? null
      : { name: checkpoint, description: runDescription(transaction.intent.run) };
  const { backupXml, checkpointXml } = jobXml(
    {
      ...job,
      checkpoint: wanted,
    },
    disks,
    allDisks,
  );
  const begin = async (): Promise<void> => {
    onMoment();
    const options = checkpointXml === null ? {} : { checkpointXml };
    await inSpiteOfBusyClock(() => libvirt.backupBegin(domain.uuid, backupXml, options));
  };
  try {
    if (await beginFrozen(tools, plan, begin, request.freezeMountpoints)) onAgent();
  } catch (error) {
    throw beginError(error, plan, job.socketPath);
  }
  if (wanted !== null && transaction !== null) await recordCheckpoint(tools, transaction, domain.uuid, wanted.name);
  const end = (): Promise<void> =>
    tools.onLibvirt((connection) => endJob(connection, domain.uuid, jobTraces(job, plan)));
  const dirtyContext = (target: string): string => `qemu:dirty-bitmap:${exportBitmap(target)}`;
  const { transfer } = context;
  if (transfer === undefined) return await socketExports(requireHypervisor(context.hypervisor), job, dirtyContext, end);
  return networkExports(transfer, dirtyContext, end);
}

/** @returns whether the guest's agent answers */
async function beginFrozen(
  { libvirt, tell, watchdog, onLibvirt }: TransactionTools,
  { domain: { uuid, name }, state, handling, agent }: RunPlan,
  begin: () => Promise<void>,
  mountpoints: readonly string[] | undefined,
): Promise<boolean> {
  const guard = await watchdog.ready();
  if (guard !== null && handling === 'pause') {
    const resume = (): Promise<void> => onLibvirt((connection) => connection.resume(uuid));
    await whilePaused(libvirt, uuid, begin, { resume, watchdog: guard, tell });
    return false;
  }
  if (guard === null) {
    const message =
      "the guest's file systems are not frozen, because no agent is connected; in the guest: install qemu-guest-agent; " +
      `its channel is in: virsh dumpxml ${name}`;
    if (state === 'running') tell({ type: 'warning', message });
    await begin();
    return false;
  }
  const thaw = (): Promise<number> => onLibvirt((connection) => connection.thaw(uuid));
  const options = { thaw, watchdog: guard, tell, ...(mountpoints && { mountpoints }) };
  return await withAgentTimeout(libvirt, uuid, agent, async () => {
    const { answers } = await whileFrozen(libvirt, uuid, begin, options);
    return answers;
  });
}

async function recordCheckpoint(
  { libvirt }: TransactionTools,
  transaction: SetTransaction,
  uuid: string,
  checkpoint: string,
): Promise<void> {
  const known = await readCheckpoints(libvirt, uuid);
  const creationTime = known.find(({ name }) => name === checkpoint)?.creationTime;
  if (creationTime === undefined)
    throw new BackupError('COPY_FAILED', `libvirt made no checkpoint ${checkpoint} with the job`);
  const xml = await libvirt.checkpointXml(uuid, checkpoint);
  await transaction.setCheckpoint({ creationTime, xml });
}
