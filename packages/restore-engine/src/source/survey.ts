import type { RestorePlan } from '../plan.ts';
import type { DiskContent, OpenedContent } from './content.ts';
import type { OpenedDisks } from './opened-disks.ts';
import type { PointState } from './point-states.ts';

/** What a disk's restore will write. */
export interface DiskEstimate {
  readonly disk: string;
  /** Bytes. */
  readonly virtualSize: number;
  /** Bytes that are read and written; all others are zero. */
  readonly dataBytes: number;
  /** Ranges of data. */
  readonly extents: number;
}

/** What a restore will take. */
export interface RestoreEstimate {
  readonly disks: readonly DiskEstimate[];
  /** Bytes that the new images take in the target folder, about: their data, or all of them where it is reserved. */
  readonly spaceNeeded: number;
  /** Bytes that are free there; null when it is not known. */
  readonly spaceFree: number | null;
  /** All restore points of the folder, and which of them could be restored. */
  readonly points: readonly PointState[];
}

/**
 * Opens every disk once, before anything is created: chains, headers and whole-file checksums are in order when this
 * resolves.
 *
 * @param open opens the content of a disk
 * @param kept takes what was opened
 * @throws BackupSetError, StreamFormatError for damage; HostError
 */
export async function surveyDisks(
  { images }: RestorePlan,
  open: (disk: string) => Promise<OpenedContent>,
  kept: OpenedDisks,
  onNote: (message: string) => void,
): Promise<DiskEstimate[]> {
  const estimates: DiskEstimate[] = [];
  for (const { disk } of images) {
    const opened = await open(disk);
    for (const note of opened.notes) onNote(note);
    const estimate = estimateOf(disk, opened.content);
    estimates.push(estimate);
    await kept.add(disk, opened, estimate.extents);
  }
  return estimates;
}

function estimateOf(disk: string, content: DiskContent): DiskEstimate {
  let extents = 0;
  let end = -1;
  for (const { start, length, kind } of content.extents()) {
    if (kind !== 'data') continue;
    if (start !== end) extents++;
    end = start + length;
  }
  return { disk, virtualSize: content.size, dataBytes: content.dataBytes, extents };
}

/** Bytes that the new images of a plan take. */
export function spaceNeeded({ images }: RestorePlan, disks: readonly DiskEstimate[], preallocate: boolean): number {
  return disks
    .filter(({ disk }) => images.some((image) => image.disk === disk && image.target.kind === 'file'))
    .reduce((sum, { virtualSize, dataBytes }) => sum + (preallocate ? virtualSize : dataBytes), 0);
}
