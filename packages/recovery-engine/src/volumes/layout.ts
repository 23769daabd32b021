import { partOf, type ReadableDisk } from './byte-reader.ts';
import { type Content, detectContent } from './content.ts';
import { readGpt } from './gpt.ts';
import { readMbr } from './mbr.ts';
import type { Partition, PartitionTable } from './partition-table.ts';

/** A partition, or a disk without any, and what it holds. */
export interface Volume {
  /** null: the disk as a whole. */
  readonly partition: Partition | null;
  /** Bytes from the start of the disk. */
  readonly start: number;
  /** Bytes. */
  readonly length: number;
  readonly content: Content;
}

export interface DiskLayout {
  readonly volumes: readonly Volume[];
  readonly notes: readonly string[];
}

/** Bytes of the sector that a classic partition table shares with boot code. */
const SECTOR = 512;

/**
 * What a disk holds, as its own bytes tell. A GPT is certain, by its checksums. A classic table is not: the boot code of a
 * file system in the same sector may look like one. But it goes before what lies behind it, which a disk may still have
 * from before it was partitioned.
 *
 * @throws what reading rejects with: where a partition table is damaged, nothing can be said
 */
export async function readLayout(disk: ReadableDisk): Promise<DiskLayout> {
  const gpt = await readGpt(disk);
  if (gpt !== null) return await layoutOf(disk, gpt);
  const content = await detectContent(disk);
  const certain = content.kind !== 'empty' && content.mark < SECTOR;
  const mbr = certain ? null : await readMbr(disk);
  if (mbr !== null && mbr.partitions.length > 0) return await layoutOf(disk, mbr);
  return { volumes: [{ partition: null, start: 0, length: disk.size, content }], notes: [] };
}

async function layoutOf(disk: ReadableDisk, { partitions, notes }: PartitionTable): Promise<DiskLayout> {
  const volumes: Volume[] = [];
  for (const partition of partitions) {
    const { start, length } = partition;
    volumes.push({ partition, start, length, content: await detectContent(partOf(disk, start, length)) });
  }
  return { volumes, notes };
}
