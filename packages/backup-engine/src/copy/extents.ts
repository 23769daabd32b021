import type { ExtentRun } from '@virtnbd/nbd-client';
import { BackupError } from '../errors.ts';
import { ExtentTable } from './extent-table.ts';

/** Bit of `base:allocation` that says: reads as zeroes (NBD protocol, «metadata contexts»). */
const STATE_ZERO = 2;
/** Bit of `qemu:dirty-bitmap:NAME` that says: written since the bitmap began. */
const STATE_DIRTY = 1;

/** The meta context that tells which blocks read as zero. */
export const ALLOCATION = 'base:allocation';

/**
 * Sorts a disk's runs into what the backup saves. The first flag of each run is that of `base:allocation`; the second,
 * for an increment, that of the dirty bitmap.
 *
 * A base saves everything: what is known to read as zero as `zero`, all else as `data` (a hole that is not zero is
 * data). An increment saves what is dirty, as `zero` where it reads as zero now: a range that was zeroed or discarded
 * must become zero again when the increment is restored over older data.
 *
 * With `zeroesAsData` an increment saves such ranges as data: the established restore leaves `zero` frames out.
 *
 * @param runs batches as the server tells them; they must cover `[0, size)` without a gap
 * @throws BackupError EXPORT_MISMATCH when they do not
 */
export async function collectExtents(
  runs: AsyncIterable<readonly ExtentRun[]>,
  disk: { target: string; size: number; incremental: boolean; zeroesAsData?: boolean },
): Promise<ExtentTable> {
  const table = new ExtentTable();
  let end = 0;
  for await (const batch of runs) {
    for (const { start, length, flags } of batch) {
      if (start !== end) throw uncovered(disk, end, start);
      end += length;
      const [allocation, dirty] = flags;
      if (allocation === undefined || (disk.incremental && dirty === undefined)) throw uncovered(disk, start, end);
      if (disk.incremental && ((dirty ?? 0) & STATE_DIRTY) === 0) continue;
      const isZero = (allocation & STATE_ZERO) !== 0 && !(disk.incremental && disk.zeroesAsData === true);
      table.add(start, length, isZero ? 'zero' : 'data');
    }
  }
  if (end !== disk.size) throw uncovered(disk, end, disk.size);
  return table;
}

function uncovered(disk: { target: string }, from: number, to: number): BackupError {
  return new BackupError(
    'EXPORT_MISMATCH',
    `disk ${disk.target}: the NBD server of the backup job does not tell the state of bytes ${from} to ${to}; ` +
      'nothing was saved',
    { disk: disk.target },
  );
}
