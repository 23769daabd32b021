import { type Recovery, runDescription } from '@virtnbd/backup-set';
import { type CheckpointConnection, rollBack } from '@virtnbd/checkpoint-store';
import type { Host } from '@virtnbd/host';
import { BackupError } from './errors.ts';
import { endJob, type JobControl } from './job.ts';

/**
 * Does on the VM's side what is left to do of a run that has not ended, and lets its intent go: ends its job, deletes
 * its checkpoint unless the point is committed, and removes its socket and scratch files. May be called again.
 *
 * Deleting the checkpoint merges its bitmap into that of the one before, so the next increment, from there, saves
 * whatever was written meanwhile.
 *
 * @throws BackupError ROLLBACK_FAILED when the VM is off, as libvirt deletes no checkpoint then: the intent stays, and
 *   the first run after the VM's start ends it
 */
export async function settle(
  host: Host,
  libvirt: JobControl & CheckpointConnection,
  recovery: Recovery,
): Promise<void> {
  const { uuid } = recovery.domain;
  const { socketPath, scratchFiles } = recovery.job ?? { socketPath: null, scratchFiles: [] };
  if (socketPath !== null) await endJob(libvirt, uuid, socketPath);
  const { checkpoint } = recovery;
  if (checkpoint?.action === 'delete') {
    const { name, run, creationTime } = checkpoint;
    const outcome = await rollBack(libvirt, uuid, { name, description: runDescription(run), creationTime });
    if (outcome === 'waiting')
      throw new BackupError(
        'ROLLBACK_FAILED',
        `the checkpoint ${name} of a run that failed is still there, because libvirt deletes none while the VM is ` +
          'off; start the VM: the next backup into this folder deletes it first',
      );
  }
  for (const path of [...(socketPath === null ? [] : [socketPath]), ...scratchFiles]) await host.files.remove(path);
  await recovery.settle();
}
