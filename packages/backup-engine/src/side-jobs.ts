import { VmLock } from '@virtnbd/backup-set';
import { LibvirtError, parseBackupJob } from '@virtnbd/libvirt-ops';
import { formatNbdUri } from '@virtnbd/nbd-client';
import { Connections } from './connections.ts';
import type { BackupContext, BackupRequest } from './context.ts';
import { BackupError } from './errors.ts';
import { StartingWatchdog } from './guest/watchdog.ts';
import { beginJob } from './job/begin-job.ts';
import type { DiskExports } from './job/disk-exports.ts';
import { endJob, exportBitmap } from './job/job.ts';
import { jobPaths, jobTraces } from './job/job-paths.ts';
import { lookAhead } from './plan/forecast.ts';
import { removeTrace } from './recovery.ts';

/** A job that goes on after the command that began it. */
export interface StartedJob {
  /** The NBD URI of each disk's export, with the meta context of its dirty bitmap where it has one. */
  readonly exports: readonly { readonly disk: string; readonly uri: string; readonly dirtyContext: string | null }[];
}

/**
 * Begins a backup job as `runBackup` would, without a checkpoint, and leaves it: whoever likes reads the disks from it.
 * `endBackupJob` ends it. The folder is only looked at.
 *
 * @throws BackupError, LibvirtError; then there is no job
 */
export async function startBackupJob(request: BackupRequest, context: BackupContext): Promise<StartedJob> {
  const signal = context.signal ?? new AbortController().signal;
  await using connections = await Connections.open(context);
  const { libvirt, second } = connections;
  const { uuid, name, active } = await libvirt.lookup(request.domain);
  if (!active)
    throw new BackupError('NO_JOB', `the VM ${name} is off, and has no job then; start it: virsh start ${name}`);
  await using _vmLock = await VmLock.acquire(context.host, context.lockFolder ?? '/var/tmp', uuid, { signal });
  const plan = { ...(await lookAhead(libvirt, request, context)), checkpoint: null };
  const paths = await jobPaths(context, request, plan);
  await using watchdog = new StartingWatchdog(libvirt.address(), plan);
  const tools = {
    ...{ context, libvirt, second, signal, watchdog },
    tell: (event: Parameters<NonNullable<BackupContext['onEvent']>>[0]) => context.onEvent?.(event),
    onLibvirt: <T>(call: (connection: typeof second) => Promise<T>): Promise<T> => call(second),
  };
  const ignore = (): void => undefined;
  let exports: DiskExports;
  try {
    exports = await beginJob(tools, {
      request,
      plan,
      transaction: null,
      job: paths,
      onMoment: ignore,
      onAgent: ignore,
    });
    signal.throwIfAborted();
  } catch (error) {
    await endJob(second, uuid, jobTraces(paths, plan));
    throw error;
  }
  return {
    exports: plan.disks.map(({ target, since }) => ({
      disk: target,
      uri: uriOf(exports, target),
      dirtyContext: since === null ? null : `qemu:dirty-bitmap:${exportBitmap(target)}`,
    })),
  };
}

function uriOf({ address, tls }: DiskExports, target: string): string {
  const where = address(target);
  if ('stream' in where) throw new BackupError('BAD_OPTIONS', 'the exports of this job have no address of their own');
  return formatNbdUri({ address: where, exportName: target, secure: tls !== undefined });
}

/**
 * Ends the VM's backup job, whoever began it, and no other kind of job.
 *
 * @returns false when it had none
 * @throws BackupError JOB_ACTIVE when the VM has a job of another kind
 */
export async function endBackupJob(
  domain: string,
  context: Pick<BackupContext, 'connect' | 'hypervisor'>,
): Promise<boolean> {
  await using libvirt = await context.connect();
  const { uuid, name, active } = await libvirt.lookup(domain);
  if (!active) return false;
  const xml = await libvirt.backupXml(uuid).catch((error: unknown) => {
    if (error instanceof LibvirtError && error.code === 'NO_DOMAIN_BACKUP') return null;
    throw error;
  });
  if (xml === null) {
    const { type, operation } = await libvirt.jobInfo(uuid);
    if (type === 'none') return false;
    throw new BackupError(
      'JOB_ACTIVE',
      `the VM ${name} has a job, but no backup (${operation}), which is left alone; look at it: virsh domjobinfo ${name}`,
    );
  }
  const { socketPath } = await parseBackupJob(xml);
  await libvirt.abortJob(uuid);
  if (socketPath !== null && context.hypervisor !== null) await removeTrace(context.hypervisor, socketPath);
  return true;
}
