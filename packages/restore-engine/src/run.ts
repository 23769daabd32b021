import { basename, isAbsolute, join } from 'node:path';
import { BackupSet, type RestorePoint } from '@virtnbd/backup-set';
import { type Host, makeRunFolder } from '@virtnbd/host';
import { DomainStage } from './domain/domain-stage.ts';
import { RestoreError } from './errors.ts';
import { inParallel } from './in-parallel.ts';
import type { PlannedImage } from './plan.ts';
import type { RestoreContext, RestoredImage, RestoreRequest, RestoreResult } from './request.ts';
import type { OpenedContent } from './source/content.ts';
import { explainDamage, isDamage } from './source/diagnose.ts';
import { OpenedDisks } from './source/opened-disks.ts';
import { pointStates } from './source/point-states.ts';
import { pointSource, type RestoreSource, salvageSource, sequenceSource } from './source/source.ts';
import { type RestoreEstimate, spaceNeeded, surveyDisks } from './source/survey.ts';
import { restoreOnto } from './target/onto-image.ts';
import { TargetFolder } from './target/target-folder.ts';
import { restoreToDevice } from './target/to-device.ts';
import { restoreToFile } from './target/to-file.ts';
import type { PhaseRunner, RestoreWork, WrittenImage } from './work.ts';

/** Disks that are written at the same time, unless told. */
const JOBS = 2;

/**
 * Restores a point: for each disk an image, or a device, with the content that it had then. Resolves when all are
 * complete, on stable storage, and under their names; every byte read from the folder was compared with the checksums
 * that it has. When it rejects, none of the new images is there.
 *
 * @throws RestoreError, BackupSetError, StreamFormatError, HostError, NbdError; `signal.reason`
 */
export async function runRestore(request: RestoreRequest, context: RestoreContext): Promise<RestoreResult> {
  return await new Restore(request, context).run();
}

class Restore {
  readonly #request: RestoreRequest;
  readonly #context: RestoreContext;
  /** Where the target is. */
  readonly #target: Host;

  constructor(request: RestoreRequest, context: RestoreContext) {
    this.#request = request;
    this.#context = context;
    this.#target = context.targetHost ?? context.host;
  }

  async run(): Promise<RestoreResult> {
    const { host, signal } = this.#context;
    const { sequence, disk, dryRun = false } = this.#request;
    signal?.throwIfAborted();
    requireAbsolute(this.#request);
    const set = await openSet(host, this.#request.folder);
    const point = sequence === undefined ? set.point(this.#request.point) : null;
    try {
      await using source = await this.#sourceOf(set, point);
      return await this.#restore(source, set, point);
    } catch (error) {
      if (point === null || dryRun || signal?.aborted === true || !isDamage(error)) throw error;
      this.#note('the backup is damaged: looking for all that is, and for a point that is whole');
      const disks = point.disks.map((known) => known.disk).filter((name) => disk === undefined || name === disk);
      throw await explainDamage(set, point, disks, error, signal);
    }
  }

  async #sourceOf(set: BackupSet, point: RestorePoint | null): Promise<RestoreSource> {
    const { host, signal } = this.#context;
    const { sequence = [], salvage = false } = this.#request;
    if (point === null) return await sequenceSource(host, set, sequence, this.#request);
    if (!salvage) return await pointSource(host, set, point, this.#request);
    return await salvageSource(host, set, point, this.#request, signal);
  }

  async #restore(source: RestoreSource, set: BackupSet, point: RestorePoint | null): Promise<RestoreResult> {
    const { plan } = source;
    this.#context.onEvent?.({ type: 'plan', plan });
    await using kept = new OpenedDisks();
    const estimate = await this.#survey(source, set, kept);
    const leftOut = [...source.leftOut];
    const stage = point === null ? null : await this.#planDomain(source, set, point, leftOut);
    if (this.#request.dryRun === true) return { plan, estimate, images: [], leftOut, domain: stage?.preview() ?? null };
    const images = await this.#apply(source, stage, kept);
    return { plan, estimate, images, leftOut, domain: (await stage?.finish()) ?? null };
  }

  async #planDomain(
    { plan, files }: RestoreSource,
    set: BackupSet,
    point: RestorePoint,
    leftOut: string[],
  ): Promise<DomainStage | null> {
    const { domain = {}, target, salvage = false } = this.#request;
    const { host, libvirt = null } = this.#context;
    const places = { host, targetHost: this.#target, targetFolder: target, libvirt };
    const onDamage = (message: string): void => void leftOut.push(message);
    const question = { request: domain, set, point, files, plan, ...places, ...(salvage && { onDamage }) };
    const stage = await DomainStage.plan(question);
    for (const change of stage?.changes ?? []) this.#note(`configuration: ${change}`);
    for (const warning of stage?.warnings ?? []) this.#note(warning);
    return stage;
  }

  /** Looks at all that will be read before anything is created. */
  async #survey(source: RestoreSource, set: BackupSet, kept: OpenedDisks): Promise<RestoreEstimate> {
    const { dryRun = false, preallocate = false, target } = this.#request;
    const disks = await surveyDisks(
      source.plan,
      (disk) => this.#open(source, disk, { assumeVerified: dryRun, signal: this.#context.signal }),
      kept,
      (message) => this.#note(message),
    );
    const needed = spaceNeeded(source.plan, disks, preallocate);
    const free = await freeSpace(this.#target, target);
    if (free !== null && needed > free) {
      this.#note(`the images may need ${needed} bytes, and ${free} are free in ${target}`);
    }
    return { disks, spaceNeeded: needed, spaceFree: free, points: pointStates(set) };
  }

  async #apply(source: RestoreSource, stage: DomainStage | null, kept: OpenedDisks): Promise<RestoredImage[]> {
    const { target, force = false, domain } = this.#request;
    // A VM's images are reached by QEMU, which libvirt runs as another user: through the folder, not into its list.
    const mode = domain?.adjust === true || domain?.define === true ? 0o711 : 0o700;
    const names = [...source.plan.images.flatMap(namesOf), ...(stage?.names ?? [])];
    const onCleared = (cleared: readonly string[]): void =>
      this.#note(`an interrupted restore had left ${cleared.join(', ')} in ${target}: removed`);
    const folder = await TargetFolder.open(this.#target, target, names, { mode, force, onCleared });
    try {
      const temp = await makeRunFolder(this.#target, this.#context.tempFolder ?? '/tmp', 'virtnbdrestore.');
      try {
        await stage?.write(folder, this.#context.signal);
        const images = await this.#writeAll(source, kept, folder, temp);
        for (const image of images) await writeHoles(folder, image);
        await folder.finish(names);
        return images;
      } finally {
        await this.#tidy(`removing ${temp}`, () => this.#target.files.removeFolder(temp, { recursive: true }));
      }
    } catch (error) {
      await folder.discard();
      await stage?.discard();
      throw error;
    } finally {
      await this.#tidy(`unlocking ${target}`, () => folder.close());
    }
  }

  /** What is left undone here changes nothing of the images, and must not hide why a restore failed. */
  async #tidy(what: string, work: () => Promise<void>): Promise<void> {
    await work().catch((error: unknown) => {
      this.#note(`${what} failed: ${error instanceof Error ? error.message : String(error)}`);
    });
  }

  async #writeAll(
    source: RestoreSource,
    kept: OpenedDisks,
    folder: TargetFolder,
    temp: string,
  ): Promise<RestoredImage[]> {
    const { images } = source.plan;
    const { signal, socketFile } = this.#context;
    const first = images[0]?.disk;
    return await inParallel(images, this.#request.jobs ?? JOBS, signal, async (image, stop) => {
      // What was read for whole-file checksums a moment ago is not read for them again.
      await using opened =
        kept.take(image.disk) ?? (await this.#open(source, image.disk, { assumeVerified: true, signal: stop }));
      const work: RestoreWork = {
        request: this.#request,
        host: this.#target,
        folder,
        imageInfo: (disk) => source.files.imageInfos.get(disk) ?? null,
        socketPath: (disk) =>
          socketFile === undefined ? join(temp, `${disk}.sock`) : `${socketFile}${disk === first ? '' : `.${disk}`}`,
        note: (message) => this.#note(message),
        phase: this.#phase,
        signal: stop,
      };
      return { ...(await restoreDisk(image, opened, work)), holes: source.holes(image.disk) };
    });
  }

  async #open(
    source: RestoreSource,
    disk: string,
    { assumeVerified, signal }: { assumeVerified: boolean; signal: AbortSignal | undefined },
  ): Promise<OpenedContent> {
    let done = 0;
    const { onEvent } = this.#context;
    const onProgress = (progress: { done: number; total: number }): void => {
      if (done === 0) onEvent?.({ type: 'phase', disk, phase: 'check', totalBytes: progress.total });
      onEvent?.({ type: 'progress', disk, bytes: progress.done - done });
      done = progress.done;
      if (done === progress.total) onEvent?.({ type: 'phase-done', disk, phase: 'check' });
    };
    return await source.open(disk, { assumeVerified, onProgress, ...(signal && { signal }) });
  }

  readonly #phase: PhaseRunner = async (disk, phase, totalBytes, run) => {
    const { onEvent } = this.#context;
    onEvent?.({ type: 'phase', disk, phase, totalBytes });
    const result = await run((bytes) => onEvent?.({ type: 'progress', disk, bytes }));
    onEvent?.({ type: 'phase-done', disk, phase });
    return result;
  };

  #note(message: string): void {
    this.#context.onEvent?.({ type: 'note', message });
  }
}

function restoreDisk(image: PlannedImage, { content }: OpenedContent, work: RestoreWork): Promise<WrittenImage> {
  const { target } = image;
  if (target.kind === 'file') return restoreToFile(image, target, content, work);
  if (target.kind === 'device') return restoreToDevice(image, target.path, content, work);
  return restoreOnto(image, target, content, work);
}

/** Beside an image that is not whole lies what is wrong with it. */
async function writeHoles(folder: TargetFolder, { path, disk, holes, kind }: RestoredImage): Promise<void> {
  if (holes.length === 0) return;
  const name = `${kind === 'file' ? basename(path) : disk}.holes.json`;
  await folder.writeText(
    name,
    `${JSON.stringify({ format: 'virtnbd-holes', version: 1, disk, path, holes }, null, 2)}\n`,
  );
}

/** The files that an image is made of in the target folder, the one that refers to the other last. */
function namesOf({ target }: PlannedImage): string[] {
  if (target.kind !== 'file') return [];
  return target.dataFile === undefined ? [target.name] : [target.dataFile, target.name];
}

function requireAbsolute({ target, devices, onto }: RestoreRequest): void {
  for (const path of [target, ...(devices?.values() ?? []), ...(onto?.values() ?? [])]) {
    if (!isAbsolute(path)) throw new TypeError(`a target must be an absolute path, not ${path}`);
  }
}

async function openSet(host: Host, folder: string): Promise<BackupSet> {
  const set = await BackupSet.open(host, folder);
  if (set.points.length > 0) return set;
  const found = set.problems.map(({ message }) => message).join(' ');
  throw new RestoreError('EMPTY_FOLDER', `${folder} holds no restore point. ${found || 'Is it the right folder?'}`);
}

/** Of the folder, or of the nearest one above that is there; null when the host does not tell. */
async function freeSpace(host: Host, folder: string): Promise<number | null> {
  for (let path = folder; ; path = join(path, '..')) {
    if ((await host.files.stat(path)) !== null) return await host.files.freeSpace(path).catch(() => null);
    if (path === '/') return null;
  }
}
