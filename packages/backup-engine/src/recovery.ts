import { basename } from 'node:path';
import { type Recovery, runDescription } from '@virtnbd/backup-set';
import { type CheckpointConnection, rollBack } from '@virtnbd/checkpoint-store';
import type { Host } from '@virtnbd/host';
import { restoreVmState, startPaused, type VmPower } from './guest/started-vm.ts';
import { endJob, type JobControl } from './job/job.ts';

/**
 * Does on the VM's side what is left to do of a run that has not ended, and lets its intent go: ends its job, deletes
 * its checkpoint unless the point is committed, ends the VM if the run had started it, and removes its socket and scratch
 * files. May be called again.
 *
 * Deleting the checkpoint merges its bitmap into that of the one before, so the next increment, from there, saves
 * whatever was written meanwhile.
 *
 * @param recovery its `job` is what there is to clear away
 * @returns the checkpoint that could not be deleted because the VM is off: the intent stays, and the first run after the
 *   VM's start ends it; null when all is done
 */
export async function settle(
  hypervisor: Host | null,
  libvirt: JobControl & CheckpointConnection & VmPower,
  recovery: Recovery,
): Promise<string | null> {
  const { uuid } = recovery.domain;
  const { socketPath, scratchFiles } = recovery.job ?? { socketPath: null, scratchFiles: [] };
  await endJob(libvirt, uuid, { socketPath, scratchFiles });
  const { checkpoint } = recovery;
  if (checkpoint?.action === 'delete') {
    const { name, run } = checkpoint;
    const outcome = await rollBack(libvirt, uuid, { name, description: runDescription(run) });
    if (outcome === 'waiting') {
      await forgetStart(recovery);
      return name;
    }
  }
  if (recovery.job !== null) await restoreVmState(libvirt, uuid, recovery.job);
  for (const path of [...(socketPath === null ? [] : [socketPath]), ...scratchFiles])
    if (hypervisor !== null) await removeTrace(hypervisor, path);
  await recovery.settle();
  return null;
}

/**
 * `settle` for a VM that is off and may be started for it, without letting it run: libvirt deletes checkpoints only of one
 * that has a process. The VM is off again afterwards, and after a failure.
 */
export async function settleStarted(
  hypervisor: Host | null,
  libvirt: JobControl & CheckpointConnection & VmPower,
  recovery: Recovery,
): Promise<void> {
  const { uuid } = recovery.domain;
  const traces = recovery.job ?? { socketPath: null, scratchFiles: [] };
  // On the disk before: a run that is killed in between leaves a VM that the next one knows to end.
  await recovery.setJob({ ...traces, startedVm: 0 });
  const startedVm = await startPaused(libvirt, uuid);
  try {
    const job = { ...traces, startedVm };
    await recovery.setJob(job);
    await settle(hypervisor, libvirt, { ...recovery, job });
  } finally {
    await restoreVmState(libvirt, uuid, { startedVm });
  }
}

/** The VM is off, so what a run had started has ended: who starts it next is not that run. */
async function forgetStart({ job, setJob }: Recovery): Promise<void> {
  if (job?.startedVm === undefined) return;
  const { startedVm: _, ...traces } = job;
  await setJob(traces);
}

/** Names that runs give to what they leave outside the backup folder: `job-paths.ts`. */
const SCRATCH_FILE = /^backup\.\d+\.[0-9a-z]+\.[^/]+$/;
const SERVER_FOLDER = /^virtnbdbackup\.\d+\.[0-9a-f]{8}$/;

/**
 * Removes a socket, a scratch file, or the empty folder that held sockets. An intent lies in the backup folder, where
 * others may write: nothing is removed on its word alone. What cannot be removed is left: libvirt and qemu clear away
 * what is theirs when the job ends.
 */
export async function removeTrace(host: Host, path: string): Promise<void> {
  const kind = (await host.files.stat(path).catch(() => null))?.kind;
  const name = basename(path);
  if (kind === 'other' || (kind === 'file' && SCRATCH_FILE.test(name)))
    await host.files.remove(path).catch(() => undefined);
  if (kind === 'folder' && SERVER_FOLDER.test(name)) await host.files.removeFolder(path).catch(() => undefined);
}
