import { BackupSet } from '@virtnbd/backup-set';
import type { Host } from '@virtnbd/host';
import { VirtualDisk } from '@virtnbd/virtual-disk';
import type { BackupRequest } from '../context.ts';
import { BackupError } from '../errors.ts';
import { placeOf } from '../plan/prepare.ts';

/** A disk as it was at a restore point, open. */
export interface DiskBefore extends AsyncDisposable {
  readonly disk: VirtualDisk;
}

/**
 * Opens a disk at a restore point of the request's folder.
 *
 * @throws BackupSetError when the point's files are damaged
 */
export async function openBefore(
  host: Host,
  request: BackupRequest,
  { disk, point, signal }: { disk: string; point: string; signal: AbortSignal },
): Promise<DiskBefore> {
  const set = await BackupSet.open(host, request.folder, placeOf(request));
  const opened = await set.openLayers(disk, point, { signal });
  if (opened.kind === 'stream')
    return { disk: VirtualDisk.fromLayers(opened.layers), [Symbol.asyncDispose]: () => opened.close() };
  await opened.close();
  throw new BackupError('EXPORT_MISMATCH', `disk ${disk} is a raw image at ${point}, which takes no increments`, {
    disk,
  });
}
