import { isAbsolute, join } from 'node:path';
import { BackupSet, type OpenedDisk } from '@virtnbd/backup-set';
import type { Host } from '@virtnbd/host';
import { VirtualDisk } from '@virtnbd/virtual-disk';
import { copyRaw } from './copy-raw.ts';
import { RestoreError } from './errors.ts';
import { imageNames, type PointFiles, readPointFiles } from './image-names.ts';
import { imageOptions } from './image-options.ts';
import { type PlannedImage, planRestore, type RestorePlan, type RestoreSelection } from './plan.ts';
import { TargetFolder } from './target-folder.ts';
import { writeImage } from './write-image.ts';

/** What a restore tells while it goes on. Sizes are in bytes. */
export type RestoreEvent =
  | { readonly type: 'plan'; readonly plan: RestorePlan }
  | { readonly type: 'note'; readonly message: string }
  | { readonly type: 'disk'; readonly disk: string; readonly image: string; readonly totalBytes: number }
  | { readonly type: 'progress'; readonly disk: string; readonly bytes: number }
  | { readonly type: 'disk-done'; readonly disk: string };

export interface RestoreRequest extends RestoreSelection {
  /** The backup folder; it is never written. */
  readonly folder: string;
  /** Where the images go, an absolute path; made, with mode 0700, when it is not there. */
  readonly target: string;
}

export interface RestoreContext {
  readonly host: Host;
  /** Where the sockets of image servers lie, in a private folder; `/tmp` when absent. */
  readonly tempFolder?: string;
  readonly onEvent?: (event: RestoreEvent) => void;
  /** Ends the restore; images that are not complete are removed. */
  readonly signal?: AbortSignal;
}

/** What was restored. */
export interface RestoreResult {
  readonly point: string;
  readonly images: readonly { readonly disk: string; readonly path: string; readonly virtualSize: number }[];
}

/**
 * Restores a point: for each disk an image with the content that it had then. Resolves when all images are complete, on
 * stable storage, and under their names; every byte read from the folder was compared with the checksums that it has.
 * When it rejects, none of the images is there.
 *
 * @throws RestoreError, BackupSetError, StreamFormatError, HostError, NbdError
 */
export async function runRestore(request: RestoreRequest, context: RestoreContext): Promise<RestoreResult> {
  const { host, signal } = context;
  signal?.throwIfAborted();
  if (!isAbsolute(request.target)) throw new TypeError(`the target must be an absolute path, not ${request.target}`);
  const set = await openSet(host, request.folder);
  const point = set.point(request.point);
  const files = await readPointFiles(host, set, point);
  const plan = planRestore(set, request, await imageNames(point, files));
  context.onEvent?.({ type: 'plan', plan });
  const names = plan.images.map(({ name }) => name);
  const target = await TargetFolder.open(host, request.target, names);
  const temp = await host.files.makeTempFolder(context.tempFolder ?? '/tmp', 'virtnbdrestore.');
  try {
    const { domainXml } = files;
    if (domainXml !== null) await target.writeText(domainXml.name, domainXml.text);
    await writeAll(set, plan, files, { ...context, target, temp });
    await target.finish(names);
  } catch (error) {
    await target.discard();
    throw error;
  } finally {
    await host.files.removeFolder(temp, { recursive: true });
  }
  const images = plan.images.map(({ disk, name, virtualSize }) => ({
    disk,
    path: join(request.target, name),
    virtualSize,
  }));
  return { point: plan.point, images };
}

async function openSet(host: Host, folder: string): Promise<BackupSet> {
  const set = await BackupSet.open(host, folder);
  if (set.points.length > 0) return set;
  const found = set.problems.map(({ message }) => message).join(' ');
  throw new RestoreError('EMPTY_FOLDER', `${folder} holds no restore point. ${found || 'Is it the right folder?'}`);
}

type Work = RestoreContext & { readonly target: TargetFolder; readonly temp: string };

async function writeAll(set: BackupSet, plan: RestorePlan, files: PointFiles, work: Work): Promise<void> {
  const { signal, onEvent } = work;
  for (const image of plan.images) {
    await using disk = await set.openLayers(image.disk, plan.point, signal ? { signal } : {});
    for (const message of disk.notes) onEvent?.({ type: 'note', message });
    await writeOne(image, disk, files, work);
    onEvent?.({ type: 'disk-done', disk: image.disk });
  }
}

async function writeOne(image: PlannedImage, disk: OpenedDisk, files: PointFiles, work: Work): Promise<void> {
  const { host, target, temp, signal, onEvent } = work;
  const path = await target.create(image.name);
  const options = {
    ...(signal && { signal }),
    onBytes: (bytes: number) => onEvent?.({ type: 'progress', disk: image.disk, bytes }),
  };
  const begin = (totalBytes: number): void =>
    onEvent?.({ type: 'disk', disk: image.disk, image: image.name, totalBytes });
  if (disk.kind === 'raw') {
    begin(disk.image.source.size);
    await copyRaw(host, disk.image.source, path, options);
    return;
  }
  const virtual = VirtualDisk.fromLayers(disk.layers, { readAhead: false });
  begin(virtual.dataBytes);
  const file = {
    path,
    format: 'qcow2' as const,
    options: imageOptions(files.imageInfos.get(image.disk) ?? null),
    socketPath: join(temp, `${image.disk}.sock`),
  };
  await writeImage(host, virtual, file, options);
}
