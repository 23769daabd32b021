import {
  type BackupServer,
  buildBackupXml,
  buildCheckpointXml,
  type DiskDescription,
  LibvirtError,
  parseBackupJob,
} from '@virtnbd/libvirt-ops';
import type { PlannedDisk } from '../plan/disk-plan.ts';

/** Devices that libvirt would save unless told not to. */
const WRITABLE: readonly string[] = ['disk', 'lun'];

/** The part of a libvirt connection that starts and ends jobs. */
export interface JobControl {
  backupBegin(uuid: string, backupXml: string, options?: { checkpointXml?: string }): Promise<void>;
  backupXml(uuid: string): Promise<string>;
  /** Resolves when the job has ended and its scratch files are gone. */
  abortJob(uuid: string): Promise<void>;
}

/** What a run asks libvirt for: a pull-mode job, and a checkpoint at the same moment. */
export interface JobPlan {
  readonly server: BackupServer;
  /** Where qemu keeps what the guest overwrites while the job runs: one file a disk. */
  readonly scratchFiles: ReadonlyMap<string, string>;
  /** The checkpoint to create; null for a copy. */
  readonly checkpoint: { readonly name: string; readonly description: string } | null;
}

/** The name under which a disk's dirty bitmap is exported. */
export function exportBitmap(target: string): string {
  return `dirty-${target}`;
}

/** What of a planned disk shows in a job. */
export type JobDisk = Pick<PlannedDisk, 'target' | 'since' | 'tracksChanges' | 'secret'>;

/** The backup and the checkpoint XML of a run; disks that it does not save take no part in either. */
export function jobXml(
  plan: JobPlan,
  saved: readonly JobDisk[],
  all: readonly DiskDescription[],
): { backupXml: string; checkpointXml: string | null } {
  const isSaved = (target: string): boolean => saved.some((disk) => disk.target === target);
  // libvirt knows only disks with a medium that can be written; others must not be named.
  const others = all.filter((disk) => !isSaved(disk.target) && WRITABLE.includes(disk.device) && !disk.readonly);
  const incremental = saved.find(({ since }) => since !== null)?.since ?? null;
  const backupXml = buildBackupXml({
    ...plan.server,
    ...(incremental !== null && { incremental }),
    disks: [
      ...saved.map(({ target, since, secret }) => ({
        target,
        backup: true,
        exportName: target,
        scratchFile: plan.scratchFiles.get(target) ?? '',
        // What the guest overwrites meanwhile must not lie there in plain text.
        ...(secret !== undefined && { scratchSecret: secret }),
        ...(since !== null && { exportBitmap: exportBitmap(target) }),
        whole: incremental !== null && since === null,
      })),
      ...others.map(({ target }) => ({ target, backup: false })),
    ],
  });
  const { checkpoint } = plan;
  if (checkpoint === null) return { backupXml, checkpointXml: null };
  const disks = [
    ...saved.map(({ target, tracksChanges }) => ({ target, checkpoint: tracksChanges })),
    ...others.map(({ target }) => ({ target, checkpoint: false })),
  ];
  return { backupXml, checkpointXml: buildCheckpointXml({ ...checkpoint, disks }) };
}

/** Whether the VM has a backup job, ours or another's. */
export async function hasJob(libvirt: JobControl, uuid: string): Promise<boolean> {
  return (await runningJob(libvirt, uuid)) !== null;
}

/**
 * Ends the VM's backup job if it is the one of these traces: on this socket, or with one of these scratch files, whose
 * names no other run has. Another's job is left alone. No error when there is none, or when the VM is off, which ends its
 * job.
 */
export async function endJob(
  libvirt: JobControl,
  uuid: string,
  { socketPath, scratchFiles }: { readonly socketPath: string | null; readonly scratchFiles: Iterable<string> },
): Promise<void> {
  const xml = await runningJob(libvirt, uuid);
  if (xml === null) return;
  const job = await parseBackupJob(xml);
  const own = new Set(scratchFiles);
  const isOurs =
    (socketPath !== null && job.socketPath === socketPath) ||
    job.disks.some(({ scratchFile }) => scratchFile !== null && own.has(scratchFile));
  if (isOurs) await unlessGone(() => libvirt.abortJob(uuid));
}

async function runningJob(libvirt: JobControl, uuid: string): Promise<string | null> {
  return (await unlessGone(() => libvirt.backupXml(uuid))) ?? null;
}

/** undefined where libvirt says that there is no such job, or that the VM is off. */
async function unlessGone<T>(call: () => Promise<T>): Promise<T | undefined> {
  try {
    return await call();
  } catch (error) {
    const gone = ['NO_DOMAIN_BACKUP', 'OPERATION_INVALID', 'NO_DOMAIN'];
    if (error instanceof LibvirtError && gone.includes(error.code)) return undefined;
    throw error;
  }
}
