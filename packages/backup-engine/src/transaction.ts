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
import { basename, join } from 'node:path';
import {
  CHKSUM_SUFFIX,
  chunkFileNameOf,
  domainXmlName,
  imageInfoName,
  runDescription,
  SetTransaction,
} from '@virtnbd/backup-set';
import { readCheckpoints, removeChain } from '@virtnbd/checkpoint-store';
import { type LibvirtConnection, LibvirtError } from '@virtnbd/libvirt-ops';
import { type BackupContext, type BackupRequest, type BackupResult, MAX_WORKERS } from './context.ts';
import { BackupError } from './errors.ts';
import type { BackupListener, BackupStep } from './events.ts';
import { whileFrozen } from './frozen.ts';
import { endJob, jobXml } from './job.ts';
import { eachLimited } from './limit.ts';
import type { PlannedDisk, RunPlan } from './plan.ts';
import { bitmapLost } from './prepare.ts';
import { settle } from './recovery.ts';
import { dataFileOf, headerNames, saveDisk } from './save-disk.ts';

/** What a transaction works with. */
export interface TransactionTools {
  readonly context: BackupContext;
  readonly libvirt: LibvirtConnection;
  /** A connection that is free while a call blocks the first. */
  readonly second: LibvirtConnection;
  readonly signal: AbortSignal;
  readonly tell: BackupListener;
}

/** Makes the restore point that `plan` describes. Either it is committed, or nothing of it is left. */
export async function makePoint(
  tools: TransactionTools,
  request: BackupRequest,
  plan: RunPlan,
  running: boolean,
): Promise<BackupResult> {
  const { context } = tools;
  const socketPath = request.socketPath ?? (await freeSocketPath(context));
  const scratchFiles = scratchFilesOf(request, plan);
  const transaction = await SetTransaction.begin(context.host, request.folder, {
    point: plan.point,
    level: plan.level,
    domain: plan.domain,
    writer: context.writer,
    checkpoint: plan.checkpoint,
    parent: plan.incremental,
    files: filesOf(plan),
    job: { socketPath, scratchFiles: [...scratchFiles.values()] },
  });
  const run = new PointRun(tools, request, plan, transaction, socketPath, scratchFiles);
  try {
    run.step('intent-written');
    await run.removeOldChain();
    await run.beginJob(running);
    const disks = await run.copy();
    await run.commit();
    return { point: plan.point, level: plan.level, folder: request.folder, disks };
  } catch (error) {
    await undo(tools, transaction, error);
    throw error;
  }
}

class PointRun {
  readonly #tools: TransactionTools;
  readonly #request: BackupRequest;
  readonly #plan: RunPlan;
  readonly #transaction: SetTransaction;
  readonly #socketPath: string;
  readonly #scratchFiles: ReadonlyMap<string, string>;
  #created = new Date();

  constructor(
    tools: TransactionTools,
    request: BackupRequest,
    plan: RunPlan,
    transaction: SetTransaction,
    socketPath: string,
    scratchFiles: ReadonlyMap<string, string>,
  ) {
    this.#tools = tools;
    this.#request = request;
    this.#plan = plan;
    this.#transaction = transaction;
    this.#socketPath = socketPath;
    this.#scratchFiles = scratchFiles;
  }

  step(step: BackupStep): void {
    this.#tools.tell({ type: 'step', step });
    this.#tools.signal.throwIfAborted();
  }

  async removeOldChain(): Promise<void> {
    const { superseded, domain } = this.#plan;
    if (superseded.length === 0) return;
    await this.#transaction.markSuperseded(superseded);
    await removeChain(this.#tools.libvirt, domain.uuid);
    this.step('old-chain-removed');
  }

  async beginJob(running: boolean): Promise<void> {
    const { libvirt, second, context, tell } = this.#tools;
    const { domain, checkpoint, incremental, disks, allDisks } = this.#plan;
    const description = runDescription(this.#transaction.intent.run);
    const { backupXml, checkpointXml } = jobXml(
      {
        socketPath: this.#socketPath,
        scratchFiles: this.#scratchFiles,
        incremental,
        checkpoint: checkpoint === null ? null : { name: checkpoint, description },
      },
      disks,
      allDisks,
    );
    const begin = async (): Promise<void> => {
      this.#created = new Date();
      await libvirt.backupBegin(domain.uuid, backupXml, checkpointXml === null ? {} : { checkpointXml });
    };
    const mountpoints = this.#request.freezeMountpoints;
    try {
      if (running)
        await whileFrozen(libvirt, second, domain.uuid, begin, { tell, ...(mountpoints && { mountpoints }) });
      else await begin();
    } catch (error) {
      throw beginError(error, incremental);
    }
    // Whoever may not read the disk must not read it here. Where the socket is another user's, its folder decides.
    await context.host.files.chmod(this.#socketPath, 0o600).catch(() => undefined);
    if (checkpoint !== null) {
      const known = await readCheckpoints(libvirt, domain.uuid);
      const creationTime = known.find(({ name }) => name === checkpoint)?.creationTime;
      if (creationTime === undefined)
        throw new BackupError('COPY_FAILED', `libvirt made no checkpoint ${checkpoint} with the job`);
      const xml = await libvirt.checkpointXml(domain.uuid, checkpoint);
      await this.#transaction.setCheckpoint({ creationTime, xml });
    }
    this.step('job-begun');
  }

  async copy(): Promise<BackupResult['disks']> {
    const { context, tell, signal } = this.#tools;
    const { workers = MAX_WORKERS, compress = false } = this.#request;
    this.step('copying');
    // One disk that fails ends the point, so it ends the other disks' copies too.
    const failure = new AbortController();
    const disks = await eachLimited(this.#plan.disks, workers, async (disk) => {
      try {
        return await saveDisk(this.#transaction, this.#plan, disk, {
          socketPath: this.#socketPath,
          compress,
          writer: context.writer,
          created: this.#created,
          tell,
          signal: AbortSignal.any([signal, failure.signal]),
        });
      } catch (error) {
        failure.abort(error);
        throw error;
      }
    });
    await this.#writeConfiguration();
    this.step('copied');
    return disks;
  }

  async commit(): Promise<void> {
    const { second, tell } = this.#tools;
    await this.#transaction.seal();
    this.step('sealed');
    await this.#transaction.commit({ created: this.#created, disks: this.#manifestDisks() });
    tell({ type: 'step', step: 'committed' });
    await this.#transaction.finish();
    tell({ type: 'step', step: 'recorded' });
    await endJob(second, this.#plan.domain.uuid, this.#socketPath);
    await this.#tools.context.host.files.remove(this.#socketPath);
    tell({ type: 'step', step: 'job-ended' });
    await this.#transaction.end();
    tell({ type: 'step', step: 'finished' });
  }

  async #writeConfiguration(): Promise<void> {
    const { point, domainXml, disks } = this.#plan;
    await this.#transaction.writeSmall(domainXmlName(point), 'domain-xml', domainXml);
    for (const { target, json } of disks)
      await this.#transaction.writeSmall(imageInfoName(target, point), 'image-info', json);
  }

  #manifestDisks() {
    const { disks, incremental } = this.#plan;
    return disks.map(({ target, virtualSize, format, source }) => ({
      disk: target,
      file: dataFileOf(this.#plan, target),
      kind: 'stream' as const,
      base: incremental === null,
      virtualSize,
      format,
      imageName: basename(source),
      header: headerNames(this.#plan),
    }));
  }
}

/** What libvirt says when a job does not begin, with what to do about it where that is known. */
function beginError(error: unknown, incremental: string | null): unknown {
  if (!(error instanceof LibvirtError)) return error;
  if (error.code === 'CHECKPOINT_INCONSISTENT' && incremental !== null) return bitmapLost(incremental, error);
  return error;
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
    await settleAnew(context, second, recovery);
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
  recovery: Parameters<typeof settle>[2],
): Promise<void> {
  if (!second.lost.aborted) return settle(context.host, second, recovery);
  await using fresh = await context.connect();
  await settle(context.host, fresh, recovery);
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

function scratchFilesOf({ scratchFolder = '/var/tmp' }: BackupRequest, plan: RunPlan): Map<string, string> {
  const run = `${process.pid}.${Date.now().toString(36)}`;
  return new Map(plan.disks.map(({ target }) => [target, join(scratchFolder, `backup.${run}.${target}`)]));
}

/** `/var/tmp/virtnbdbackup.PID`: AppArmor's profiles permit that pattern. */
async function freeSocketPath({ host }: BackupContext): Promise<string> {
  const path = `/var/tmp/virtnbdbackup.${process.pid}`;
  for (let n = 0; ; n++) {
    const candidate = n === 0 ? path : `${path}.${n}`;
    if ((await host.files.stat(candidate)) === null) return candidate;
  }
}
