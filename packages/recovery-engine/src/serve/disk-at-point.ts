import { createHash } from 'node:crypto';
import type { BackupSet, OpenedDisk, OpenLayersOptions, RestorePoint } from '@virtnbd/backup-set';
import type { BlockSource } from '@virtnbd/nbd-server';
import { VirtualDisk } from '@virtnbd/virtual-disk';
import { DamageGuard } from './damage-guard.ts';

export interface OpenDiskOptions extends OpenLayersOptions {
  /** Decompressed bytes kept for later reads; see VirtualDisk. */
  readonly cacheBytes?: number | undefined;
}

/** A disk as it was at a restore point, open and ready to be served. Who opened it closes it. */
export interface DiskAtPoint extends AsyncDisposable {
  /** Its target device, `vda`. */
  readonly disk: string;
  readonly point: string;
  /** The files that it is built of, base first. */
  readonly files: readonly string[];
  /** What tells this content from any other: an overlay is bound to it. */
  readonly identity: string;
  /** What the user should hear of: files that were not checked. */
  readonly notes: readonly string[];
  /** Read-only. Where a file is damaged, a read rejects with RecoveryError `DAMAGED`, and never gives wrong bytes. */
  readonly source: BlockSource;
}

/**
 * Opens a disk at a restore point.
 *
 * @param pointId of one point, or `latest`
 * @throws BackupSetError, StreamFormatError, HostError: what `BackupSet.openLayers` rejects with
 */
export async function openDiskAtPoint(
  set: BackupSet,
  disk: string,
  pointId: string,
  options: OpenDiskOptions = {},
): Promise<DiskAtPoint> {
  const point = set.point(pointId);
  const { cacheBytes, ...openOptions } = options;
  const opened = await set.openLayers(disk, point.id, openOptions);
  try {
    return toDiskAtPoint(opened, point, cacheBytes);
  } catch (error) {
    await opened.close().catch(() => undefined);
    throw error;
  }
}

function toDiskAtPoint(opened: OpenedDisk, point: RestorePoint, cacheBytes: number | undefined): DiskAtPoint {
  const { disk, notes } = opened;
  const where = { disk, point: point.id };
  const common = { ...where, notes, [Symbol.asyncDispose]: () => opened.close() };
  const run = point.manifest?.run ?? null;
  if (opened.kind === 'raw') {
    const { name, source } = opened.image;
    const identity = identityOf(common, [run, name, source.size]);
    return { ...common, files: [name], identity, source: new DamageGuard(source, where) };
  }
  const { layers } = opened;
  const virtual = VirtualDisk.fromLayers(layers, cacheBytes === undefined ? {} : { cacheBytes });
  const identity = identityOf(common, [run, ...layers.map(({ file: { meta, index } }) => [meta, index.count])]);
  return { ...common, files: layers.map(({ name }) => name), identity, source: new DamageGuard(virtual, where) };
}

/** The headers hold the moment of the backup to the microsecond; where the folder lies does not matter. */
function identityOf({ disk, point }: { disk: string; point: string }, traits: readonly unknown[]): string {
  const digest = createHash('sha256').update(JSON.stringify(traits)).digest('hex');
  return `${disk} at ${point}, ${digest.slice(0, 16)}`;
}
