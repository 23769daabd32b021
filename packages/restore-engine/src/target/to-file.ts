import { join } from 'node:path';
import { EarlySync, type Host } from '@virtnbd/host';
import { RestoreError } from '../errors.ts';
import type { PlannedImage, PlannedTarget } from '../plan.ts';
import type { DiskContent } from '../source/content.ts';
import type { RestoreWork, WrittenImage } from '../work.ts';
import { imageOptions } from './image-options.ts';
import { createImage, type ServedImage, withImage } from './image-server.ts';
import { verifyTarget } from './verify-target.ts';
import { writeContent } from './write-image.ts';
import { writeItself } from './write-itself.ts';

type FileTarget = Extract<PlannedTarget, { kind: 'file' }>;

/** The cluster size of qcow2 where nothing says another one, in bytes. */
const CLUSTER = 64 << 10;

/**
 * Restores a disk to a new image in the target folder, under the name that it has until the restore is complete. It is
 * on stable storage when this resolves.
 */
export async function restoreToFile(
  image: PlannedImage,
  target: FileTarget,
  content: DiskContent,
  work: RestoreWork,
): Promise<WrittenImage> {
  const { host, folder, request, signal } = work;
  if (folder === null) throw new TypeError('a target folder is needed');
  const { format } = target;
  const compress = request.compress === true && format === 'qcow2';
  requireFit(target, request.compress === true);
  const path = await folder.create(target.name);
  const dataFile = target.dataFile === undefined ? undefined : folder.place(target.dataFile);
  const options = format === 'qcow2' ? optionsOf(image, target, work) : [];
  const { preallocate } = request;
  const created = { path, format, size: content.size, options, dataFile, preallocate };
  await createImage(host, created, signal);
  const served = { path, format, socketPath: work.socketPath(image.disk) };
  await work.phase(image.disk, 'write', content.dataBytes, async (onBytes) => {
    const progress = { signal, onBytes };
    const own = !compress && dataFile === undefined && (await writeItself(host, created, content, progress));
    if (own) return;
    const files = dataFile === undefined ? [path] : [path, dataFile];
    const align = compress ? clusterSize(options) : 1;
    await writeThroughServer(host, { ...served, compress }, files, content, { ...progress, align });
  });
  if (request.verify === true) await verifyTarget(image.disk, content, served, work);
  if (target.dataFile !== undefined) await renameDataFile(path, join(folder.path, target.dataFile), work);
  return {
    disk: image.disk,
    path: join(folder.path, target.name),
    kind: 'file',
    format,
    ...(target.dataFile !== undefined && { dataFile: join(folder.path, target.dataFile) }),
    virtualSize: content.size,
  };
}

interface Progress {
  readonly signal: AbortSignal;
  readonly onBytes: (bytes: number) => void;
}

/** Writes an image that was just created by way of qemu, which knows every kind. It is on stable storage when this resolves. */
async function writeThroughServer(
  host: Host,
  served: ServedImage,
  files: readonly string[],
  content: DiskContent,
  { signal, onBytes, align }: Progress & { readonly align: number },
): Promise<void> {
  await using sync = await EarlySync.open(host, files);
  const onWritten = (bytes: number): void => {
    sync.written(bytes);
    onBytes(bytes);
  };
  await withImage(
    host,
    { ...served, unsynced: true },
    async (client) => {
      requireSize(client.size, content.size, served.path);
      await writeContent(content, client, { fresh: true, align, signal, onBytes: onWritten });
    },
    signal,
  );
  await sync.finish();
}

/** The features of the source image. Without a data file there is nothing to say how its data lie. */
function optionsOf({ disk }: PlannedImage, { dataFile }: FileTarget, work: RestoreWork): string[] {
  const options = imageOptions(work.imageInfo(disk));
  return dataFile === undefined ? options.filter((option) => !option.startsWith('data_file_raw=')) : options;
}

function clusterSize(options: readonly string[]): number {
  const option = options.find((item) => item.startsWith('cluster_size='));
  return option === undefined ? CLUSTER : Number(option.slice('cluster_size='.length));
}

function requireFit({ format, dataFile, name }: FileTarget, compress: boolean): void {
  if (compress && format !== 'qcow2')
    throw new RestoreError('BAD_FORMAT', `--compress is of qcow2 images, and ${name} is to be of format ${format}`);
  if (compress && dataFile !== undefined)
    throw new RestoreError('BAD_FORMAT', `${name} has a data file, which cannot be compressed; leave out --compress`);
}

export function requireSize(found: number, wanted: number, path: string): void {
  if (found >= wanted) return;
  throw new RestoreError('BAD_TARGET', `${path} has ${found} bytes, and the disk has ${wanted}`);
}

/** Says in the image where its data file will be, once both have their names. */
async function renameDataFile(path: string, dataFile: string, { host, signal }: RestoreWork): Promise<void> {
  const option = `data_file=${dataFile.replaceAll(',', ',,')}`;
  await host.run('qemu-img', ['amend', '-q', '-f', 'qcow2', '-o', option, path], { signal });
}
