import type { PointDisk } from '@virtnbd/backup-set';
import type { Host } from '@virtnbd/host';
import { NO_AMOUNTS } from './amounts.ts';
import { isDamage } from './errors.ts';
import type { Amounts, DiskDescription } from './folder-description.ts';
import { frameStatistics, ratioOf } from './frame-stats.ts';
import type { FileSizes } from './leftovers.ts';
import { openStream } from './open-stream.ts';
import type { RegionCounter } from './regions.ts';

/** What was read of a file's headers. */
export type ScannedFile = Pick<DiskDescription, 'compression' | 'frames' | 'problem' | keyof Amounts>;

const UNREAD: ScannedFile = { ...NO_AMOUNTS, compression: null, frames: null, problem: null };

/** Reads the headers of a data file, and counts its frames into the regions of its disk. */
export async function scanFile(
  host: Host,
  folder: string,
  disk: PointDisk,
  sizes: FileSizes,
  regions: RegionCounter,
  signal: AbortSignal | undefined,
): Promise<ScannedFile> {
  const { fileSize } = disk;
  if (!sizes.has(disk.file)) return { ...UNREAD, problem: `${disk.file} is missing.` };
  const nothing = { ...UNREAD, fileBytes: fileSize };
  if (disk.kind === 'raw') {
    return {
      ...nothing,
      dataBytes: fileSize,
      storedBytes: fileSize,
      ratio: ratioOf(fileSize, fileSize),
      frames: 0,
      problem: null,
    };
  }
  try {
    await using opened = await openStream(host, folder, disk, { signal });
    const { file } = opened;
    regions.add(disk, file.index);
    const { dataBytes, zeroBytes, storedBytes, ratio } = frameStatistics(file);
    const compression = file.compressed ? (file.meta.compressionMethod ?? 'lz4') : null;
    return {
      fileBytes: fileSize,
      dataBytes,
      zeroBytes,
      storedBytes,
      ratio,
      compression,
      frames: file.index.count,
      problem: null,
    };
  } catch (error) {
    if (!isDamage(error)) throw error;
    return { ...nothing, frames: null, problem: error.message };
  }
}
