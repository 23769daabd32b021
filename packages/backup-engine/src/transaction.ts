/**
 * The order in which a run changes the world, and what holds after each step. `STEPS` in events.ts names them; a run
 * that ends between any two, by whatever means, is put right by the next one (recovery.ts).
 *
 *     intent-written      the folder says what is going to happen; nothing has happened
 *     old-chain-removed   full: the checkpoints of the chain before are gone; that chain has ended
 *     job-begun           the moment is frozen in the job's export; a new checkpoint records what is written from now on
 *     copied              every block lies in a `*.partial` file
 *     proven              where asked for: what the files give back was compared with the disks
 *     sealed              all files are on stable storage under their names
 *     committed           the manifest is in place: the restore point exists
 *     job-ended           qemu serves nothing any more; scratch files are gone
 *     recorded            DOMAIN.cpt and the checkpoint's XML are in place, too
 *     finished            the intent is gone
 */
import {
  CHKSUM_SUFFIX,
  chunkFileNameOf,
  domainXmlName,
  imageInfoName,
  runDescription,
  SetTransaction,
} from '@virtnbd/backup-set';
import { rollBack } from '@virtnbd/checkpoint-store';
import { besideNames } from './beside/beside.ts';
import type { BackupRequest, BackupResult } from './context.ts';
import { StartingWatchdog } from './guest/watchdog.ts';
import { jobPaths, jobTraces } from './job/job-paths.ts';
import type { PlannedDisk } from './plan/disk-plan.ts';
import type { RunPlan } from './plan/plan.ts';
import { placeOf } from './plan/prepare.ts';
import { PointRun } from './point-run.ts';
import { settle } from './recovery.ts';
import type { RunTools } from './run-tools.ts';

/** Makes the restore point that `plan` describes. Either it is committed, or nothing of it is left. */
export async function makePoint(tools: RunTools, request: BackupRequest, plan: RunPlan): Promise<BackupResult> {
  const { context } = tools;
  await using watchdog = new StartingWatchdog(tools.libvirt.address(), plan);
  const job = await jobPaths(context, request, plan);
  const transaction = await SetTransaction.begin(
    context.host,
    request.folder,
    {
      point: plan.point,
      level: plan.level,
      domain: plan.domain,
      writer: context.writer,
      checkpoint: plan.checkpoint,
      parent: plan.parent,
      files: filesOf(plan),
      job: jobTraces(job, plan),
      ...placeOf(request),
    },
    { ...(context.pipe && { pipe: context.pipe }), signal: tools.signal },
  );
  const run = new PointRun({ ...tools, watchdog }, request, plan, transaction, job);
  try {
    run.step('intent-written');
    await run.startVm();
    await run.removeOldChain();
    await run.open();
    const disks = await run.copy();
    await run.commit();
    return { skipped: false, point: plan.point, level: plan.level, folder: request.folder, disks };
  } catch (error) {
    await undo(tools, plan, run, transaction, error);
    throw error;
  }
}

/**
 * Takes back what a failed run did, or, when its manifest turns out to be in place, does what is left. Each part is tried
 * whatever becomes of the others: a folder that is gone is no reason to leave a job. What cannot be done now is told, and
 * left to the next run, which finds the intent.
 */
async function undo(
  tools: RunTools,
  plan: RunPlan,
  run: PointRun,
  transaction: SetTransaction,
  failure: unknown,
): Promise<void> {
  const { context, tell } = tools;
  const warn = (message: string): void => tell({ type: 'warning', message });
  const attempt = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      if (error === failure) return undefined;
      warn(`could not be undone: ${wordsOf(error)}`);
      return undefined;
    }
  };
  // Before anything waits for a hypervisor that may be what hangs. Who sent the signal knows.
  if (!tools.signal.aborted)
    tell({ type: 'info', message: `the backup fails, and is taken back: ${wordsOf(failure)}` });
  await attempt(() => run.abandon());
  const recovery = await attempt(() => transaction.rollBack());
  if (recovery === undefined) {
    if (!run.mayBeCommitted && plan.checkpoint !== null)
      await attempt(() => deleteCheckpoint(tools, plan, transaction));
    await attempt(() => run.endVm());
    return;
  }
  if (recovery.superseded.length > 0)
    warn(
      `the chain of checkpoints before (${recovery.superseded.join(', ')}) was ended for this full backup: the next ` +
        'backup must be a full one',
    );
  const waiting = await attempt(() =>
    tools.onLibvirt((connection) => settle(context.hypervisor, connection, recovery)),
  );
  if (typeof waiting === 'string')
    warn(
      `the checkpoint ${waiting} of this run is still there, because libvirt deletes none while the VM is off; the first ` +
        "backup into this folder after the VM's start deletes it",
    );
  if (recovery.action === 'rolled-forward') warn(`the restore point ${recovery.point} is complete all the same`);
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Without the folder, which would tell; but it was not asked to commit anything yet. */
async function deleteCheckpoint(tools: RunTools, plan: RunPlan, transaction: SetTransaction): Promise<void> {
  const uncommitted = { name: plan.checkpoint ?? '', description: runDescription(transaction.intent.run) };
  await tools.onLibvirt((connection) => rollBack(connection, plan.domain.uuid, uncommitted));
}

/** All files of the point, so that the intent is written once rather than once a file. */
function filesOf(plan: RunPlan): string[] {
  const { point, disks } = plan;
  const ofDisk = ({ target, file }: PlannedDisk): string[] => [
    ...[file, chunkFileNameOf(file), `${file}${CHKSUM_SUFFIX}`],
    imageInfoName(target, point),
  ];
  return [...disks.flatMap(ofDisk), domainXmlName(point), ...besideNames(plan)];
}
