import { BackupSetError } from '../errors.ts';
import { isLeaf, latestPoint } from './chain.ts';
import type { RestorePoint } from './point.ts';
import { endsOfTime } from './point-time.ts';

/**
 * The point that a user's words name: its id (a checkpoint's name, `copy`, the unix time of a differential), `latest`,
 * or a date or time, which means the newest point not later than that day, minute or second. A time is local unless it
 * says its zone.
 *
 * Where the dates do not tell which point that is (two of one time, one that has no date, dates that contradict the
 * chain), none is chosen: it would be a guess.
 *
 * @param points in the order of `orderPoints`
 * @param folder for messages
 * @throws BackupSetError `UNKNOWN_POINT`, `AMBIGUOUS_POINT`, `EMPTY`
 */
export function choosePoint(points: readonly RestorePoint[], text: string, folder: string): RestorePoint {
  if (text === 'latest') return latestPoint(points);
  const named = points.find(({ id }) => id === text);
  if (named !== undefined) return named;
  const ends = endsOfTime(text);
  if (ends.length === 0) {
    throw unknown(points, text, `There is no restore point ${JSON.stringify(text)} in ${folder}`);
  }
  const chosen = [...new Set(ends.map((end) => newestBefore(points, end, text, folder)))];
  if (chosen.length > 1) {
    const why = `The clock showed ${text} twice that day, with a restore point in between; add the zone, as in +01:00`;
    throw ambiguous(points, text, why);
  }
  const [point] = chosen;
  if (point == null) throw unknown(points, text, `No restore point in ${folder} is as old as ${text}`);
  return point;
}

/** @returns null when all points are later */
function newestBefore(points: readonly RestorePoint[], end: number, text: string, folder: string): RestorePoint | null {
  const early = points.filter((point) => timeOf(point) < end);
  const last = Math.max(...early.map(timeOf));
  const newest = early.filter((point) => timeOf(point) === last);
  const chosen = newest.filter((point) => !newest.some((other) => other !== point && follows(points, other, point)));
  if (chosen.length > 1) {
    const why = `${chosen.map(({ id }) => id).join(' and ')} are of one time, the newest not later than ${text}`;
    throw ambiguous(points, text, why);
  }
  const [point] = chosen;
  const undated = points.find((other) => Number.isNaN(timeOf(other)) && mayBeNewer(points, other, point, end));
  if (undated !== undefined) {
    const why = `Whether ${undated.id} in ${folder} is as old as ${text} cannot be told, since its date is not known`;
    throw ambiguous(points, text, why);
  }
  if (point === undefined) return null;
  const later = points.find((other) => timeOf(other) >= end && follows(points, point, other));
  if (later !== undefined) {
    const why = `${point.id} follows ${later.id}, whose date is later: the clock was wrong, and dates decide nothing here`;
    throw ambiguous(points, text, why);
  }
  return point;
}

/** Milliseconds since 1970; NaN when it is not known. */
function timeOf({ id, date }: RestorePoint): number {
  if (date !== '') return Date.parse(date);
  return /^\d+$/.test(id) ? Number(id) * 1000 : Number.NaN;
}

/** Whether a point was surely made after another: further on in the chain, or upon it. */
function follows(points: readonly RestorePoint[], point: RestorePoint, other: RestorePoint): boolean {
  if (isLeaf(other)) return false;
  if (!isLeaf(point)) return points.indexOf(point) > points.indexOf(other);
  const parent = points.find(({ id }) => id === point.parent);
  return parent !== undefined && (parent === other || follows(points, parent, other));
}

/** Whether a point without a date may be newer than the chosen one, and yet be older than `end`. */
function mayBeNewer(
  points: readonly RestorePoint[],
  undated: RestorePoint,
  chosen: RestorePoint | undefined,
  end: number,
): boolean {
  if (chosen !== undefined && follows(points, chosen, undated)) return false;
  return !points.some((other) => timeOf(other) >= end && follows(points, undated, other));
}

function unknown(points: readonly RestorePoint[], text: string, why: string): BackupSetError {
  return new BackupSetError('UNKNOWN_POINT', `${why}; ${listed(points)}.`, { point: text });
}

function ambiguous(points: readonly RestorePoint[], text: string, why: string): BackupSetError {
  return new BackupSetError('AMBIGUOUS_POINT', `${why}. Name the point; ${listed(points)}.`, { point: text });
}

function listed(points: readonly RestorePoint[]): string {
  const each = points.map((point) => {
    const time = timeOf(point);
    return Number.isNaN(time) ? point.id : `${point.id} (${new Date(time).toISOString()})`;
  });
  return `there are: ${each.join(', ') || 'none'}`;
}
