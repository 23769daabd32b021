import type { BackupSet, RestorePoint } from '@virtnbd/backup-set';
import type { Host } from '@virtnbd/host';
import { RangeList } from '@virtnbd/virtual-disk';
import { isDamage } from '../errors.ts';
import { diskOf, openStream } from '../open-stream.ts';
import type { CheckedFile } from './check-file.ts';

/** Which points see the damage of a file. */
export interface Spoiled {
  spoils: string[];
  hidden: string[];
}

/**
 * Finds the points that cannot be brought back because of a damaged file. A point is spared when newer frames cover all
 * that is damaged, unless the file is refused as a whole.
 */
export async function spoiledPoints(
  host: Host,
  set: BackupSet,
  { point, disk, diskRanges, unusable }: CheckedFile,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<Spoiled> {
  const result: Spoiled = { spoils: [], hidden: [] };
  if (disk === null) return { ...result, spoils: [point] };
  const visible = new Map<string, RangeList>();
  for (const user of set.points) {
    const chain = chainOf(set, user, disk);
    const from = chain?.findIndex(({ id }) => id === point) ?? -1;
    // A point without a chain is lost for a reason of its own.
    if (user.id !== point && (chain === null || from === -1)) continue;
    if (unusable || diskRanges === null || chain === null) {
      result.spoils.push(user.id);
      continue;
    }
    let ranges = diskRanges;
    for (const link of chain.slice(from + 1)) {
      const known = visible.get(link.id);
      ranges = known ?? (await uncovered(host, set.folder, link, disk, ranges, options.signal));
      visible.set(link.id, ranges);
    }
    if (ranges.count > 0) result.spoils.push(user.id);
    else result.hidden.push(user.id);
  }
  return result;
}

/**
 * The points that a disk is made of, base first, by parent links alone; null when they lead nowhere. Other than
 * `BackupSet.chain` it goes through points with faults: it is the faults that we are after.
 */
function chainOf(set: BackupSet, target: RestorePoint, disk: string): RestorePoint[] | null {
  const chain: RestorePoint[] = [];
  for (let point: RestorePoint | undefined = target; point !== undefined && !chain.includes(point); ) {
    chain.push(point);
    const found = diskOf(point, disk);
    if (found === undefined) return null;
    if (!found.incremental) return chain.reverse();
    const parent: string | null = point.parent;
    point = set.points.find(({ id }) => id === parent);
  }
  return null;
}

/** What of the ranges a point's own file leaves in sight. */
async function uncovered(
  host: Host,
  folder: string,
  point: RestorePoint,
  name: string,
  ranges: RangeList,
  signal: AbortSignal | undefined,
): Promise<RangeList> {
  const disk = diskOf(point, name);
  if (ranges.count === 0 || disk === undefined || disk.kind === 'raw') return ranges;
  try {
    await using opened = await openStream(host, folder, disk, { signal });
    const { index, meta } = opened.file;
    const covered = new RangeList();
    for (let frame = 0; frame < index.count; frame++) {
      covered.add(index.start(frame), index.start(frame) + index.length(frame));
    }
    return ranges.below(meta.virtualSize).without(covered);
  } catch (error) {
    if (isDamage(error)) return ranges;
    throw error;
  }
}
