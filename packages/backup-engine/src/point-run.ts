import { basename } from 'node:path';
import {
  domainXmlName,
  imageInfoName,
  type ManifestDisk,
  runDescription,
  type SetTransaction,
} from '@virtnbd/backup-set';
import { readCheckpoints, removeChain } from '@virtnbd/checkpoint-store';
import { type LibvirtConnection, LibvirtError } from '@virtnbd/libvirt-ops';
import { type BackupContext, type BackupRequest, type BackupResult, MAX_WORKERS } from './context.ts';
import { BackupError } from './errors.ts';
import type { BackupListener, BackupStep } from './events.ts';
import { whileFrozen } from './frozen.ts';
import { endJob, jobXml } from './job.ts';
import { eachLimited } from './limit.ts';
import type { RunPlan } from './plan.ts';
import { bitmapLost } from './prepare.ts';
import { dataFileOf, saveDisk } from './save-disk.ts';

/** What a transaction works with. */
export interface TransactionTools {
  readonly context: BackupContext;
  readonly libvirt: LibvirtConnection;
  /** A connection that is free while a call blocks the first. */
  readonly second: LibvirtConnection;
  readonly signal: AbortSignal;
  readonly tell: BackupListener;
}

/** The steps of one run, each of which leaves the world as transaction.ts says. */
export class PointRun {
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

  #manifestDisks(): ManifestDisk[] {
    const { disks, incremental } = this.#plan;
    return disks.map(({ target, virtualSize, format, source }) => ({
      disk: target,
      file: dataFileOf(this.#plan, target),
      kind: 'stream',
      base: incremental === null,
      virtualSize,
      format,
      imageName: basename(source),
      header: this.#plan.header,
    }));
  }
}

/** What libvirt says when a job does not begin, with what to do about it where that is known. */
function beginError(error: unknown, incremental: string | null): unknown {
  if (!(error instanceof LibvirtError)) return error;
  if (error.code === 'CHECKPOINT_INCONSISTENT' && incremental !== null) return bitmapLost(incremental, error);
  return error;
}
