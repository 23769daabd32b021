export interface Partition {
  /** As the kernel numbers it. */
  readonly number: number;
  /** Bytes from the start of the disk. */
  readonly start: number;
  /** Bytes. */
  readonly length: number;
  /** What the table calls it; empty for most. */
  readonly name: string;
}

export interface PartitionTable {
  /** Those that lie inside of the disk, in the order of the table. */
  readonly partitions: readonly Partition[];
  readonly notes: readonly string[];
}
