import { BackupSet, type RestorePoint } from '@virtnbd/backup-set';
import type { Host } from '@virtnbd/host';
import type { ByteRange, RangeList } from '@virtnbd/virtual-disk';
import { compareContent } from './compare-content.ts';
import { type DiskView, openByHeaders, openChecked } from './disk-view.ts';
import { InspectError } from './errors.ts';
import { changesOf } from './extent-changes.ts';
import { diskOf } from './open-stream.ts';

export interface DiffOptions {
  signal?: AbortSignal | undefined;
  /** Only this disk. */
  disk?: string | undefined;
  /** Compare the bytes of ranges that headers say may differ. */
  content?: boolean | undefined;
  onProgress?: ((progress: DiffProgress) => void) | undefined;
}

/** Bytes of one disk, done and in all: read for whole-file checksums first, then compared. */
export interface DiffProgress {
  disk: string;
  phase: 'checksums' | 'compare';
  done: number;
  total: number;
}

/** How one disk differs. Lists of ranges may be long: iterate them. */
export interface DiskDiff {
  disk: string;
  /** `from` and `to`: only that point has the disk. */
  in: 'both' | 'from' | 'to';
  /** Bytes; null where the point has no such disk. */
  fromSize: number | null;
  toSize: number | null;
  /** Sum of the ranges, in bytes. */
  bytes: number;
  /** Of these, bytes that are zero at the later point by its headers, and were not, or may not have been, before. */
  zeroedBytes: number;
  /** Where the disks differ (`content`), or may differ; past the end of the smaller one, too. */
  ranges: Iterable<ByteRange>;
  rangeCount: number;
  /** Files that could not be checked. */
  notes: string[];
}

/** How two points differ (SCHEMA.md, `virtnbd-diff`). */
export interface DiffReport {
  schema: 'virtnbd-diff';
  version: 1;
  folder: string;
  from: string;
  to: string;
  /** Whether the bytes were compared. Otherwise the ranges are those that may differ, and all others are equal. */
  content: boolean;
  /** Content is compared in blocks of so many bytes; 1 by headers. */
  granularity: number;
  disks: DiskDiff[];
}

/** Content is told apart in blocks of this size. */
const GRANULARITY = 4096;

/**
 * Tells where the disks of two points differ: by headers (what comes from the same frame is equal, as is zero and zero),
 * or, of what is left then, by its bytes.
 *
 * @throws InspectError `UNKNOWN_DISK`; BackupSetError, StreamFormatError for damage; `signal.reason`
 */
export async function diffPoints(
  host: Host,
  folder: string,
  fromId: string,
  toId: string,
  options: DiffOptions = {},
): Promise<DiffReport> {
  const { signal, disk, content = false } = options;
  const set = await BackupSet.open(host, folder, signal === undefined ? {} : { signal });
  const [from, to] = [set.point(fromId), set.point(toId)];
  const names = [...new Set([...from.disks, ...to.disks].map((each) => each.disk))].sort();
  const wanted = names.filter((name) => disk === undefined || name === disk);
  if (wanted.length === 0) {
    const text = `Neither ${from.id} nor ${to.id} has a disk ${disk ?? ''}; there are: ${names.join(', ') || 'none'}.`;
    throw new InspectError('UNKNOWN_DISK', text, disk === undefined ? {} : { disk });
  }
  const disks: DiskDiff[] = [];
  for (const name of wanted) disks.push(await diffDisk(host, set, from, to, name, options));
  const granularity = content ? GRANULARITY : 1;
  return { schema: 'virtnbd-diff', version: 1, folder, from: from.id, to: to.id, content, granularity, disks };
}

async function diffDisk(
  host: Host,
  set: BackupSet,
  from: RestorePoint,
  to: RestorePoint,
  disk: string,
  options: DiffOptions,
): Promise<DiskDiff> {
  const [before, after] = [diskOf(from, disk), diskOf(to, disk)];
  if (before === undefined || after === undefined) {
    const sizes = { fromSize: before?.virtualSize ?? null, toSize: after?.virtualSize ?? null };
    const nothing = { bytes: 0, zeroedBytes: 0, ranges: [], rangeCount: 0, notes: [] };
    return { disk, in: before === undefined ? 'to' : 'from', ...sizes, ...nothing };
  }
  const { signal } = options;
  if (options.content !== true) {
    await using a = await openByHeaders(host, set, from, disk, { signal });
    await using b = await openByHeaders(host, set, to, disk, { signal });
    const changes = changesOf(a, b);
    return describe(disk, a, b, changes.ranges, changes.zeroedBytes, []);
  }
  const report =
    (phase: DiffProgress['phase']) =>
    (progress: { done: number; total: number }): void =>
      options.onProgress?.({ disk, phase, ...progress });
  await using a = await openChecked(set, from, disk, { signal, onProgress: report('checksums') });
  await using b = await openChecked(set, to, disk, { signal, onProgress: report('checksums') });
  const changes = changesOf(a, b);
  const content = await compareContent(a, b, changes.ranges, GRANULARITY, { signal, onProgress: report('compare') });
  const notes = [...new Set([...a.notes, ...b.notes])];
  return describe(disk, a, b, content.differing, content.zeroedBytes, notes);
}

function describe(
  disk: string,
  from: DiskView,
  to: DiskView,
  ranges: RangeList,
  zeroedBytes: number,
  notes: string[],
): DiskDiff {
  const sizes = { fromSize: from.size, toSize: to.size };
  return { disk, in: 'both', ...sizes, bytes: ranges.bytes, zeroedBytes, ranges, rangeCount: ranges.count, notes };
}
