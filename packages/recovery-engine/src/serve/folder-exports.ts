import type { BackupSet } from '@virtnbd/backup-set';
import { RecoveryError } from '../errors.ts';
import { type DiskAtPoint, type OpenDiskOptions, openDiskAtPoint } from './disk-at-point.ts';
import type { ExportRequest } from './server.ts';

export interface FolderExportsOptions extends OpenDiskOptions {
  /** Only these disks; all of the point unless told. */
  readonly disks?: readonly string[] | undefined;
}

/** Decompressed bytes that each of the other points' disks may keep: there can be many of them. */
const SMALL_CACHE = 8 * 1024 * 1024;

/**
 * What a folder offers: `vda` for each disk at the chosen point, opened here, so that a point that cannot be read is told
 * at once; and `vda@POINT` for the same disks at every point that can be used, opened by the first client who asks.
 *
 * @param pointId of one point, or `latest`
 * @throws as `openDiskAtPoint`; RecoveryError `USAGE` for a point without disks
 */
export async function folderExports(
  set: BackupSet,
  pointId: string,
  options: FolderExportsOptions = {},
): Promise<{ chosen: (ExportRequest & { readonly disk: DiskAtPoint })[]; others: ExportRequest[] }> {
  const { disks, ...openOptions } = options;
  const point = set.point(pointId);
  const names = disks ?? point.disks.map(({ disk }) => disk);
  if (names.length === 0) {
    throw new RecoveryError('USAGE', `The restore point ${point.id} holds no disk.`, { point: point.id });
  }
  const chosen: (ExportRequest & { readonly disk: DiskAtPoint })[] = [];
  try {
    for (const name of names) {
      const disk = await openDiskAtPoint(set, name, point.id, openOptions);
      chosen.push({ name, description: `disk ${name} at ${point.id}`, disk });
    }
  } catch (error) {
    for (const { disk } of chosen) await disk[Symbol.asyncDispose]();
    throw error;
  }
  return { chosen, others: otherExports(set, names) };
}

function otherExports(set: BackupSet, names: readonly string[]): ExportRequest[] {
  return set.points.flatMap((point) => {
    const faulty = point.faults.some(({ disk }) => disk === undefined);
    const known = names.filter((name) => !faulty && point.disks.some(({ disk }) => disk === name));
    return known.map((name) => ({
      name: `${name}@${point.id}`,
      description: `disk ${name} at ${point.id}, saved ${point.date}`,
      disk: () => openDiskAtPoint(set, name, point.id, { cacheBytes: SMALL_CACHE }),
    }));
  });
}
