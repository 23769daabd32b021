import { crc32 } from 'node:zlib';
import { bytesAt, type ReadableDisk, readUint64, textAt } from './byte-reader.ts';
import type { Partition, PartitionTable } from './partition-table.ts';

/*
 * GUID partition table (UEFI specification, 5.3). Header, little-endian:
 *
 *     0  8  "EFI PART"            40  8  first usable block
 *     8  4  revision              48  8  last usable block
 *    12  4  size of the header    56 16  GUID of the disk
 *    16  4  CRC-32 of the header  72  8  first block of the entries
 *    24  8  block of this header  80  4  number of entries
 *    32  8  block of the other    84  4  bytes of an entry
 *                                 88  4  CRC-32 of the entries
 *
 * Entry: 0 16 GUID of the type (zero: unused), 16 16 GUID, 32 8 first block, 40 8 last block, 56 72 name in UTF-16.
 */

const SIGNATURE = 'EFI PART';
const HEADER_BYTES = 92;
const ENTRY_BYTES = 128;
/** The specification asks for 16 KiB at least; more than this is no table that anybody makes. */
const MAX_ENTRIES_BYTES = 1024 * 1024;
const SECTOR_SIZES = [512, 4096] as const;

interface Header {
  readonly sector: number;
  readonly entriesOffset: number;
  readonly entries: number;
  readonly entryBytes: number;
  readonly entriesCrc: number;
}

/** The table at the start of the disk, or else the copy at its end; null when there is neither. */
export async function readGpt(disk: ReadableDisk): Promise<PartitionTable | null> {
  for (const sector of SECTOR_SIZES) {
    const primary = await readTable(disk, sector, sector);
    if (primary !== null) return primary;
  }
  for (const sector of SECTOR_SIZES) {
    const copy = await readTable(disk, sector, disk.size - sector);
    if (copy !== null) return { ...copy, notes: ['the partition table was damaged; its copy at the end is used'] };
  }
  return null;
}

async function readTable(disk: ReadableDisk, sector: number, offset: number): Promise<PartitionTable | null> {
  const header = parseHeader(await bytesAt(disk, offset, sector), sector);
  if (header === null) return null;
  const bytes = await bytesAt(disk, header.entriesOffset, header.entries * header.entryBytes);
  if (bytes === null || crc32(bytes) !== header.entriesCrc) return null;
  const partitions: Partition[] = [];
  for (let number = 1; number <= header.entries; number++) {
    const entry = bytes.subarray((number - 1) * header.entryBytes, number * header.entryBytes);
    const partition = parseEntry(entry, number, sector);
    if (partition !== null && partition.start + partition.length <= disk.size) partitions.push(partition);
  }
  return { partitions, notes: [] };
}

function parseHeader(bytes: Buffer | null, sector: number): Header | null {
  if (bytes?.toString('latin1', 0, 8) !== SIGNATURE) return null;
  const size = bytes.readUInt32LE(12);
  if (size < HEADER_BYTES || size > sector) return null;
  const unsigned = Buffer.from(bytes.subarray(0, size));
  unsigned.writeUInt32LE(0, 16);
  if (crc32(unsigned) !== bytes.readUInt32LE(16)) return null;
  const entries = bytes.readUInt32LE(80);
  const entryBytes = bytes.readUInt32LE(84);
  if (entryBytes < ENTRY_BYTES || entries * entryBytes > MAX_ENTRIES_BYTES) return null;
  const entriesOffset = readUint64(bytes, 72) * sector;
  return { sector, entriesOffset, entries, entryBytes, entriesCrc: bytes.readUInt32LE(88) };
}

function parseEntry(entry: Buffer, number: number, sector: number): Partition | null {
  if (entry.subarray(0, 16).every((byte) => byte === 0)) return null;
  const first = readUint64(entry, 32);
  const last = readUint64(entry, 40);
  const length = (last - first + 1) * sector;
  if (!(length > 0) || !Number.isSafeInteger(last * sector)) return null;
  return { number, start: first * sector, length, name: textAt(entry, 56, 72, 'utf16le') };
}
