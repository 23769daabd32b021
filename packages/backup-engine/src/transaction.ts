/**
 * The order in which a run changes the world, and what holds after each step. `STEPS` in events.ts names them; a run
 * that ends between any two, by whatever means, is put right by the next one (recovery.ts).
 *
 *     intent-written      the folder says what is going to happen; nothing has happened
 *     old-chain-removed   full: the checkpoints of the chain before are gone; that chain has ended
 *     job-begun           the moment is frozen in the job's export; a new checkpoint records what is written from now on
 *     copied              every block lies in a `*.partial` file
 *     sealed              all files are on stable storage under their names
 *     committed           the manifest is in place: the restore point exists
 *     recorded            DOMAIN.cpt and the checkpoint's XML are in place, too
 *     job-ended           qemu serves nothing any more; scratch files are gone
 *     finished            the intent is gone
 */
import {
  CHKSUM_SUFFIX,
  chunkFileNameOf,
  domainXmlName,
  imageInfoName,
  type Recovery,
  SetTransaction,
} from '@virtnbd/backup-set';
import type { LibvirtConnection } from '@virtnbd/libvirt-ops';
import type { BackupContext, BackupRequest, BackupResult } from './context.ts';
import { jobPaths, jobTraces } from './job-paths.ts';
import type { PlannedDisk, RunPlan } from './plan.ts';
import { PointRun, type TransactionTools } from './point-run.ts';
import { settle } from './recovery.ts';
import { dataFileOf } from './save-disk.ts';

/** Makes the restore point that `plan` describes. Either it is committed, or nothing of it is left. */
export async function makePoint(tools: TransactionTools, request: BackupRequest, plan: RunPlan): Promise<BackupResult> {
  const { context } = tools;
  const job = await jobPaths(context, request, plan);
  const transaction = await SetTransaction.begin(context.host, request.folder, {
    point: plan.point,
    level: plan.level,
    domain: plan.domain,
    writer: context.writer,
    checkpoint: plan.checkpoint,
    parent: plan.incremental,
    files: filesOf(plan),
    job: jobTraces(job, plan),
  });
  const run = new PointRun(tools, request, plan, transaction, job);
  try {
    run.step('intent-written');
    await run.removeOldChain();
    await run.open();
    const disks = await run.copy();
    await run.commit();
    return { point: plan.point, level: plan.level, folder: request.folder, disks };
  } catch (error) {
    await run.abandon();
    await undo(tools, transaction, error);
    throw error;
  }
}

/**
 * Takes back what a failed run did, or, when its manifest turns out to be in place, does what is left. What cannot be
 * done now is told, and left to the next run, which finds the intent.
 */
async function undo(tools: TransactionTools, transaction: SetTransaction, failure: unknown): Promise<void> {
  const { context, second, tell } = tools;
  try {
    const recovery = await transaction.rollBack();
    if (recovery.superseded.length > 0)
      tell({
        type: 'warning',
        message:
          `the chain of checkpoints before (${recovery.superseded.join(', ')}) was ended for this full backup: the ` +
          'next backup must be a full one',
      });
    const waiting = await settleAnew(context, second, recovery);
    if (waiting !== null)
      tell({
        type: 'warning',
        message:
          `the checkpoint ${waiting} of this run is still there, because libvirt deletes none while the VM is off; the ` +
          "first backup into this folder after the VM's start deletes it",
      });
    if (recovery.action === 'rolled-forward')
      tell({ type: 'warning', message: `the restore point ${recovery.point} is complete all the same` });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    tell({ type: 'warning', message: `the next backup into this folder has to put things right first: ${message}` });
    if (failure instanceof Error && failure.cause === undefined) failure.cause = error;
  }
}

/** By the second connection, or, when that is lost too, by a new one. */
async function settleAnew(
  context: BackupContext,
  second: LibvirtConnection,
  recovery: Recovery,
): Promise<string | null> {
  if (!second.lost.aborted) return settle(context.host, second, recovery);
  await using fresh = await context.connect();
  return await settle(context.host, fresh, recovery);
}

/** All files of the point, so that the intent is written once rather than once a file. */
function filesOf(plan: RunPlan): string[] {
  const { point, disks } = plan;
  const ofDisk = ({ target }: PlannedDisk): string[] => {
    const data = dataFileOf(plan, target);
    return [data, chunkFileNameOf(data), `${data}${CHKSUM_SUFFIX}`, imageInfoName(target, point)];
  };
  return [...disks.flatMap(ofDisk), domainXmlName(point)];
}
