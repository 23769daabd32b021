import { type BackupSet, BackupSetError, type RestorePoint, type SalvageSession } from '@virtnbd/backup-set';
import { StreamFormatError } from '@virtnbd/stream-format';
import { RestoreError } from '../errors.ts';
import { type Hole, holesOf } from './holes.ts';

/** Ranges that a message names of each disk. */
const SHOWN = 8;

/** Whether an error tells of damage in the backup, of which more can be said. */
export function isDamage(error: unknown): error is BackupSetError | StreamFormatError {
  if (error instanceof StreamFormatError) return error.code !== 'USAGE';
  return error instanceof BackupSetError && damageCodes.has(error.code);
}

const damageCodes: ReadonlySet<string> = new Set([
  ...['CHECKSUM', 'DAMAGED', 'MISSING_FILE', 'GAP', 'FOREIGN', 'DUPLICATE', 'CYCLE'],
  ...['BAD_CHECKSUM_FILE', 'BAD_MANIFEST'],
]);

/**
 * Finds out what damage means for a restore: which ranges of which disks it spoils, and which point is still whole. Every
 * file of the chains is read once.
 *
 * @param disks that were to be restored
 * @returns the error with all that, to be thrown in its place
 */
export async function explainDamage(
  set: BackupSet,
  point: RestorePoint,
  disks: readonly string[],
  error: BackupSetError | StreamFormatError,
  signal: AbortSignal | undefined,
): Promise<RestoreError> {
  await using session = set.salvage({ signal });
  const parts: string[] = [error.message];
  let damaged = false;
  for (const disk of disks) {
    const holes = await holesAt(session, disk, point);
    if (holes === null || holes.length === 0) continue;
    damaged = true;
    parts.push(`Disk ${disk} at ${point.id} is damaged in ${rangesOf(holes)}.`);
  }
  const whole = await newestWhole(set, session, point, disks);
  parts.push(
    whole === null
      ? 'No other restore point in the folder is whole; use another copy of it.'
      : `The newest other point that is whole is ${whole.id}: --until ${whole.id}.`,
  );
  if (damaged) parts.push('What is good of this one, with a list of what is not, is restored by --salvage.');
  return new RestoreError('DAMAGED', parts.join(' '), { cause: error });
}

/** The newest point, other than one, that brings back all disks exactly; as far as there are checksums to tell. */
async function newestWhole(
  set: BackupSet,
  session: SalvageSession,
  except: RestorePoint,
  disks: readonly string[],
): Promise<RestorePoint | null> {
  for (const point of set.points.toReversed()) {
    if (point === except || disks.length === 0) continue;
    let whole = disks.every((disk) => point.disks.some((known) => known.disk === disk));
    for (const disk of disks) whole = whole && (await holesAt(session, disk, point))?.length === 0;
    if (whole) return point;
  }
  return null;
}

/** null when not even the chain is there, or it is another's. */
async function holesAt(session: SalvageSession, disk: string, point: RestorePoint): Promise<Hole[] | null> {
  const foreign = point.faults.some(({ code }) => code !== 'DAMAGED' && code !== 'MISSING_FILE');
  if (foreign) return null;
  try {
    return holesOf(await session.layers(disk, point.id));
  } catch (error) {
    if (isDamage(error) || (error instanceof BackupSetError && error.code === 'UNKNOWN_DISK')) return null;
    throw error;
  }
}

function rangesOf(holes: readonly Hole[]): string {
  const shown = holes.slice(0, SHOWN).map(({ start, length, file }) => `bytes ${start} to ${start + length} (${file})`);
  const more = holes.length > SHOWN ? `, and in ${holes.length - SHOWN} more ranges` : '';
  return `${shown.join(', ')}${more}`;
}
