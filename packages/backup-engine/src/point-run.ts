import { basename } from 'node:path';
import { domainXmlName, imageInfoName, type ManifestDisk, type Proof, type SetTransaction } from '@virtnbd/backup-set';
import { removeChain, removeStrayBitmaps } from '@virtnbd/checkpoint-store';
import { saveBeside } from './beside/beside.ts';
import { type BackupRequest, type BackupResult, MAX_WORKERS, NBD_IDLE_MS } from './context.ts';
import { buffersFor } from './copy/copy-disk.ts';
import { type DiskBefore, openBefore } from './copy/disk-before.ts';
import { provePoint } from './copy/prove.ts';
import { RateLimit } from './copy/rate-limit.ts';
import { saveDisk } from './copy/save-disk.ts';
import type { BackupStep } from './events.ts';
import { restoreVmState, startPaused, type VmTraces } from './guest/started-vm.ts';
import { beginJob, rehearseJob } from './job/begin-job.ts';
import type { DiskExports } from './job/disk-exports.ts';
import { endJob } from './job/job.ts';
import { DEFAULT_SCRATCH_FOLDER, type JobPaths, jobTraces, requireHypervisor } from './job/job-paths.ts';
import { ScratchWatch } from './job/scratch-watch.ts';
import { serveImages } from './job/serve-images.ts';
import { eachLimited } from './limit.ts';
import type { PlannedDisk } from './plan/disk-plan.ts';
import type { RunPlan } from './plan/plan.ts';
import type { TransactionTools } from './run-tools.ts';

/** The steps of one run, each of which leaves the world as transaction.ts says. */
export class PointRun {
  readonly #tools: TransactionTools;
  readonly #request: BackupRequest;
  readonly #plan: RunPlan;
  readonly #transaction: SetTransaction;
  readonly #job: JobPaths;
  #exports: DiskExports | undefined;
  #agentAnswers = false;
  #proof: Proof | undefined;
  #committing = false;
  #vm: VmTraces = {};
  #created = new Date();

  constructor(
    tools: TransactionTools,
    request: BackupRequest,
    plan: RunPlan,
    transaction: SetTransaction,
    job: JobPaths,
  ) {
    this.#tools = tools;
    this.#request = request;
    this.#plan = plan;
    this.#transaction = transaction;
    this.#job = job;
  }

  step(step: BackupStep): void {
    this.#tools.tell({ type: 'step', step });
    this.#tools.signal.throwIfAborted();
  }

  /** Starts a VM that is off, where that was asked for: what it is to be ended by is on the disk before. */
  async startVm(): Promise<void> {
    const { handling, domain } = this.#plan;
    if (handling !== 'start') return;
    await this.#traceVm({ startedVm: 0 });
    const startedVm = await startPaused(this.#tools.libvirt, domain.uuid);
    await this.#traceVm({ startedVm });
    this.#tools.tell({ type: 'info', message: 'the VM is started, paused, for the time of the backup' });
  }

  /** Ends a VM that `startVm` started. */
  async endVm(): Promise<void> {
    if (this.#plan.handling !== 'start') return;
    const { uuid } = this.#plan.domain;
    await this.#tools.onLibvirt((connection) => restoreVmState(connection, uuid, this.#vm));
  }

  async #traceVm(vm: VmTraces): Promise<void> {
    this.#vm = vm;
    await this.#transaction.setJob({ ...jobTraces(this.#job, this.#plan), ...vm });
  }

  async removeOldChain(): Promise<void> {
    const { level, superseded, domain, disks } = this.#plan;
    if (level !== 'full') return;
    const strays = new Map(disks.map(({ target, bitmaps }) => [target, bitmaps.map(({ name }) => name)]));
    if (superseded.length > 0) {
      await rehearseJob(this.#tools, this.#plan, this.#job);
      await this.#transaction.markSuperseded(superseded);
      await removeChain(this.#tools.libvirt, domain.uuid);
    }
    const names = await removeStrayBitmaps(this.#tools.libvirt, domain.uuid, strays);
    if (names.length > 0)
      this.#tools.tell({
        type: 'warning',
        message: `removed bitmaps that no checkpoint of the VM belongs to any more: ${names.join(', ')}`,
      });
    this.step('old-chain-removed');
  }

  /** Fixes the moment that the backup is of, and opens its disks for reading. */
  async open(): Promise<void> {
    const { context, signal } = this.#tools;
    const request = this.#request;
    const pauses = this.#plan.handling === 'pause';
    if (pauses) await this.#traceVm({ pausedVm: true });
    this.#exports =
      this.#plan.state === 'off'
        ? await serveImages(requireHypervisor(context.hypervisor), this.#plan, this.#job.socketPath ?? '', {
            severalClients: request.prove !== undefined || request.extentsBy === 'nbdinfo',
            signal,
          })
        : await beginJob(this.#tools, {
            request,
            plan: this.#plan,
            transaction: this.#transaction,
            job: this.#job,
            onMoment: () => {
              this.#created = new Date();
            },
            onAgent: () => {
              this.#agentAnswers = true;
            },
          });
    if (pauses) await this.#traceVm({});
    this.step('job-begun');
  }

  /** Whether the point may exist: only the folder knows then. */
  get mayBeCommitted(): boolean {
    return this.#committing;
  }

  /** Ends what `open` opened, or was about to, whatever state the folder is in. For after a failure. */
  async abandon(): Promise<void> {
    const { domain, state } = this.#plan;
    if (state === 'off') await this.#exports?.end();
    else await this.#tools.onLibvirt((connection) => endJob(connection, domain.uuid, jobTraces(this.#job, this.#plan)));
  }

  async copy(): Promise<BackupResult['disks']> {
    this.step('copying');
    // One part that fails ends the point, so it ends the others, too.
    const failure = new AbortController();
    using scratch = this.#watchScratch();
    const signal = AbortSignal.any([this.#tools.signal, failure.signal, ...(scratch ? [scratch.signal] : [])]);
    const disks = this.#saveDisks(signal);
    // Through a pipe the files come one after the other.
    const before = this.#tools.context.pipe === undefined ? Promise.resolve() : disks;
    const parts = [disks, before.then(() => this.#saveBeside(signal))];
    for (const part of parts) part.catch((error: unknown) => failure.abort(error));
    await Promise.allSettled(parts);
    if (failure.signal.aborted) throw failure.signal.reason;
    this.step('copied');
    await this.#prove(signal);
    this.step('proven');
    return await disks;
  }

  /** null for a VM that is off, where nothing is overwritten meanwhile, and for a host whose files are not reached. */
  #watchScratch(): ScratchWatch | null {
    const { hypervisor } = this.#tools.context;
    if (this.#plan.state === 'off' || hypervisor === null) return null;
    return new ScratchWatch(hypervisor, this.#request.scratchFolder ?? DEFAULT_SCRATCH_FOLDER);
  }

  async #prove(signal: AbortSignal): Promise<void> {
    const { folder, prove: percent, nbdIdleMs = NBD_IDLE_MS } = this.#request;
    const exports = this.#exports;
    if (percent === undefined || exports === undefined) return;
    const { tell, context } = this.#tools;
    const how = { exports, percent, nbdIdleMs, tell, signal };
    this.#proof = await provePoint({ host: context.host, folder, plan: this.#plan, ...how });
    tell({ type: 'proven', bytes: this.#proof.bytes, percent });
  }

  async #saveDisks(signal: AbortSignal): Promise<BackupResult['disks']> {
    const { context, tell } = this.#tools;
    const { compress } = this.#request;
    const workers = context.pipe === undefined ? (this.#request.workers ?? MAX_WORKERS) : 1;
    const exports = this.#exports;
    if (exports === undefined) throw new Error('copy comes after open');
    const { bytesPerSecond, nbdIdleMs = NBD_IDLE_MS } = this.#request;
    const rateLimit = bytesPerSecond === undefined ? null : new RateLimit(bytesPerSecond);
    const failure = new AbortController();
    return await eachLimited(this.#plan.disks, workers, async (disk) => {
      try {
        await using before = await this.#openBefore(disk, signal);
        return await saveDisk(this.#transaction, disk, {
          ...(before !== null && { before: before.disk }),
          exports,
          host: context.host,
          zeroesAsData: this.#request.zeroesAsData ?? false,
          extentsBy: this.#request.extentsBy ?? 'client',
          rateLimit,
          nbdIdleMs,
          buffers: buffersFor(Math.min(workers, this.#plan.disks.length)),
          ...(compress !== undefined && { compress }),
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
  }

  /** The disk at the parent point, where the increment has to be compared with it. */
  async #openBefore({ target, since }: PlannedDisk, signal: AbortSignal): Promise<DiskBefore | null> {
    const { compare, parent } = this.#plan;
    if (!compare || since === null || parent === null) return null;
    return await openBefore(this.#tools.context.host, this.#request, { disk: target, point: parent, signal });
  }

  async #saveBeside(signal: AbortSignal): Promise<void> {
    const { context, libvirt, tell } = this.#tools;
    await this.#writeConfiguration();
    await saveBeside({
      hypervisor: context.hypervisor,
      libvirt,
      transaction: this.#transaction,
      plan: this.#plan,
      agentAnswers: this.#agentAnswers,
      tell,
      signal,
    });
  }

  async commit(): Promise<void> {
    const { tell } = this.#tools;
    await this.#transaction.seal();
    this.step('sealed');
    this.#committing = true;
    await this.#transaction.commit({
      created: this.#created,
      disks: this.#manifestDisks(),
      ...(this.#proof && { proof: this.#proof }),
    });
    tell({ type: 'step', step: 'committed' });
    await this.#exports?.end();
    await this.endVm();
    tell({ type: 'step', step: 'job-ended' });
    await this.#transaction.finish();
    tell({ type: 'step', step: 'recorded' });
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
    return this.#plan.disks.map(({ target, file, output, since, virtualSize, format, source, images, header }) => ({
      ...{ disk: target, file, kind: output, base: since === null },
      ...{ virtualSize, format, imageName: basename(source), images, header },
    }));
  }
}
