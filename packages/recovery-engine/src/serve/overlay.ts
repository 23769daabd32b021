import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { FileLock } from '@virtnbd/backup-set';
import type { Host, HostFile } from '@virtnbd/host';
import { OverlaySource } from '@virtnbd/nbd-server';
import type { DiskAtPoint } from './disk-at-point.ts';

/** Where writes to an export go. */
export type OverlayRequest =
  /** Into a file of this folder that vanishes with the server, however that ends. */
  | { readonly kind: 'temporary'; readonly folder: string }
  /** Into a file that stays, and that a later server over the same disk and point goes on with. */
  | { readonly kind: 'kept'; readonly path: string };

/** A writable disk over a disk of a backup. Closing it leaves the disk below open. */
export interface OpenedOverlay extends AsyncDisposable {
  readonly source: OverlaySource;
}

/**
 * @throws BackupSetError `LOCKED` where another server has the file; NbdServerError `OVERLAY_MISMATCH`,
 *   `OVERLAY_FORMAT`; HostError
 */
export async function openOverlay(host: Host, disk: DiskAtPoint, request: OverlayRequest): Promise<OpenedOverlay> {
  return request.kind === 'kept' ? await openKept(host, disk, request.path) : await openTemporary(host, disk, request);
}

async function openKept(host: Host, disk: DiskAtPoint, path: string): Promise<OpenedOverlay> {
  const lock = await FileLock.acquire(host, `${path}.lock`);
  let file: HostFile | undefined;
  try {
    const isNew = (await host.files.stat(path)) === null;
    file = await host.files.open(path, isNew ? 'create' : 'read-write');
    const { source: base, identity } = disk;
    // An empty file: made a moment before its server was killed.
    const start = (await file.size()) === 0 ? OverlaySource.create : OverlaySource.open;
    const source = await start(base, file, { identity });
    return { source, [Symbol.asyncDispose]: () => source.close().finally(() => lock.release()) };
  } catch (error) {
    await file?.close().catch(() => undefined);
    await lock.release();
    throw error;
  }
}

/** The file loses its name at once: it is gone when the last process that has it open is, also after SIGKILL. */
async function openTemporary(host: Host, disk: DiskAtPoint, { folder }: { folder: string }): Promise<OpenedOverlay> {
  const path = join(folder, `.virtnbd-overlay-${randomBytes(8).toString('hex')}`);
  const file = await host.files.open(path, 'create');
  try {
    await host.files.remove(path);
    const source = await OverlaySource.create(disk.source, unsynced(file), { identity: disk.identity });
    return { source, [Symbol.asyncDispose]: () => source.close() };
  } catch (error) {
    await file.close().catch(() => undefined);
    throw error;
  }
}

/** Nobody can open the file again: there is nothing to bring to stable storage. */
function unsynced(file: HostFile) {
  return {
    size: () => file.size(),
    read: (offset: number, buffer: Uint8Array) => file.read(offset, buffer),
    writeAt: (offset: number, data: Uint8Array) => file.writeAt(offset, data),
    truncate: (size: number) => file.truncate(size),
    close: () => file.close(),
    sync: async () => undefined,
  };
}
