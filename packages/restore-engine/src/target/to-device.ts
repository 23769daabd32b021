import { HostError } from '@virtnbd/host';
import { RestoreError } from '../errors.ts';
import type { PlannedImage } from '../plan.ts';
import type { DiskContent } from '../source/content.ts';
import type { RestoreWork, WrittenImage } from '../work.ts';
import { withImage } from './image-server.ts';
import { verifyTarget } from './verify-target.ts';
import { writeContent } from './write-image.ts';

/** The start of a disk, where its partition table or file system is, in bytes. */
const HEAD = 1 << 20;

/**
 * Restores a disk to the start of a block device. The first MiB is blanked at once and written last: a device whose
 * restore was interrupted looks empty. What lies past the disk's end is left as it is.
 *
 * @throws RestoreError BAD_TARGET, TARGET_IN_USE, WRITE_FAILED
 */
export async function restoreToDevice(
  image: PlannedImage,
  path: string,
  content: DiskContent,
  work: RestoreWork,
): Promise<WrittenImage> {
  const { host, request, signal } = work;
  const { disk } = image;
  // Held as long as it is written, so that nobody mounts it meanwhile.
  await using _claim = await claimDevice(work, disk, path, content.size);
  const served = { path, format: 'raw' as const, socketPath: work.socketPath(disk) };
  const head = Math.min(HEAD, content.size);
  await work.phase(disk, 'write', content.dataBytes, (onBytes) =>
    withImage(
      host,
      served,
      async (client) => {
        const options = { fresh: false, signal, onBytes };
        await client.writeZeroes(0, head, { signal });
        await client.flush({ signal });
        await writeContent(content, client, { ...options, range: { start: head, end: content.size } });
        await client.flush({ signal });
        await writeContent(content, client, { ...options, range: { start: 0, end: head } });
      },
      signal,
    ),
  );
  if (request.verify === true) await verifyTarget(disk, content, served, work);
  return { disk, path, kind: 'device', format: 'raw', virtualSize: content.size };
}

/**
 * Takes a block device that nobody else uses and that the disk fits on.
 *
 * @throws RestoreError BAD_TARGET, TARGET_IN_USE
 */
export async function claimDevice(
  { host, note }: Pick<RestoreWork, 'host' | 'note'>,
  disk: string,
  path: string,
  size: number,
): Promise<AsyncDisposable> {
  const stat = await host.files.stat(path);
  if (stat?.kind !== 'block') {
    const text = `${path}, the target of disk ${disk}, ${stat === null ? 'is not there' : 'is no block device'}`;
    throw new RestoreError('BAD_TARGET', text, { disk });
  }
  const device = await host.files.open(path, 'claim').catch((cause: unknown) => {
    if (!(cause instanceof HostError) || cause.errno !== 'EBUSY') throw cause;
    const text = `${path}, the target of disk ${disk}, is in use: mounted, or part of a volume group or an array`;
    throw new RestoreError('TARGET_IN_USE', text, { disk, cause });
  });
  const found = await device.size();
  if (found < size) {
    await device.close();
    const text = `${path} has ${found} bytes, and disk ${disk} has ${size}: it does not fit; name a larger device`;
    throw new RestoreError('BAD_TARGET', text, { disk });
  }
  if (found > size) note(`${path} is larger than disk ${disk}: its last ${found - size} bytes stay as they are`);
  return device;
}
