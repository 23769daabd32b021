import { bytesAt, type ReadableDisk } from './byte-reader.ts';
import type { Partition, PartitionTable } from './partition-table.ts';

/*
 * The classic table in the first sector: at 446 four entries of 16 bytes (0: 0x80 for the active one, else 0; 4: type;
 * 8: first sector; 12: number of sectors), at 510 the bytes 55 AA. An extended partition (type 5, F, 85) holds a chain of
 * such sectors: in each the first entry is a logical partition, counted from that sector, and the second one points to
 * the next, counted from the start of the extended partition. Logical partitions are numbered from 5.
 */

const SECTOR = 512;
const EXTENDED: ReadonlySet<number> = new Set([0x05, 0x0f, 0x85]);
/** The mark of a disk whose real table is a GPT. */
const PROTECTIVE = 0xee;
/** More than any system reads; ends a chain that leads in a circle. */
const MAX_LOGICAL = 256;

interface Entry {
  readonly type: number;
  /** Bytes. */
  readonly start: number;
  readonly length: number;
}

/** Null when there is no such table, or only the one that protects a GPT. */
export async function readMbr(disk: ReadableDisk): Promise<PartitionTable | null> {
  const entries = await entriesAt(disk, 0);
  if (entries === null || entries.some(({ type }) => type === PROTECTIVE)) return null;
  const partitions: Partition[] = [];
  for (const [index, entry] of entries.entries()) {
    if (isUsable(entry, disk) && !EXTENDED.has(entry.type)) partitions.push(toPartition(entry, index + 1));
  }
  const extended = entries.find((entry) => EXTENDED.has(entry.type) && isUsable(entry, disk));
  if (extended !== undefined) partitions.push(...(await logicalPartitions(disk, extended.start)));
  return { partitions, notes: [] };
}

async function logicalPartitions(disk: ReadableDisk, extendedStart: number): Promise<Partition[]> {
  const partitions: Partition[] = [];
  for (let at = extendedStart, step = 0; step < MAX_LOGICAL; step++) {
    const [own, next] = (await entriesAt(disk, at)) ?? [];
    if (own !== undefined) {
      const logical = { ...own, start: own.start + at };
      if (isUsable(logical, disk)) partitions.push(toPartition(logical, 5 + partitions.length));
    }
    if (next === undefined || !EXTENDED.has(next.type) || next.start === 0) break;
    at = extendedStart + next.start;
  }
  return partitions;
}

async function entriesAt(disk: ReadableDisk, offset: number): Promise<Entry[] | null> {
  const sector = await bytesAt(disk, offset, SECTOR);
  if (sector?.readUInt16BE(510) !== 0x55aa) return null;
  const entries: Entry[] = [];
  for (let at = 446; at < 510; at += 16) {
    // The boot code of a file system may end with 55 AA, too.
    if ((sector.readUInt8(at) & 0x7f) !== 0) return null;
    const start = sector.readUInt32LE(at + 8) * SECTOR;
    entries.push({ type: sector.readUInt8(at + 4), start, length: sector.readUInt32LE(at + 12) * SECTOR });
  }
  return entries;
}

function isUsable({ type, start, length }: Entry, disk: ReadableDisk): boolean {
  return type !== 0 && start > 0 && length > 0 && start + length <= disk.size;
}

function toPartition({ start, length }: Entry, number: number): Partition {
  return { number, start, length, name: '' };
}
