import { type BackupSet, BackupSetError } from '@virtnbd/backup-set';

/** Whether a point could be restored, by the names and headers of its files. */
export interface PointState {
  readonly id: string;
  /** ISO 8601; empty when nothing tells. */
  readonly date: string;
  /** By disk; null where all that it needs is there, else why not. */
  readonly disks: Readonly<Record<string, string | null>>;
  /** Why no disk of it can be restored; null otherwise. */
  readonly fault: string | null;
}

/** What is missing or damaged in a folder, told by what it spoils. Contents are not read. */
export function pointStates(set: Pick<BackupSet, 'points' | 'chain'>): PointState[] {
  return set.points.map(({ id, date, disks, faults }) => ({
    id,
    date,
    disks: Object.fromEntries(disks.map(({ disk }) => [disk, whyNot(set, id, disk)])),
    fault: faults.find(({ disk }) => disk === undefined)?.message ?? null,
  }));
}

function whyNot(set: Pick<BackupSet, 'chain'>, point: string, disk: string): string | null {
  try {
    set.chain(point, { disk });
    return null;
  } catch (error) {
    if (error instanceof BackupSetError) return error.message;
    throw error;
  }
}
