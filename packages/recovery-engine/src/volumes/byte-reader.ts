import type { BlockSource } from '@virtnbd/nbd-server';

/** What is looked at: a disk, or a part of one. */
export type ReadableDisk = Pick<BlockSource, 'size' | 'read'>;

/** Bytes of a disk, or null where they are not all inside of it. */
export async function bytesAt(disk: ReadableDisk, offset: number, length: number): Promise<Buffer | null> {
  if (!Number.isSafeInteger(offset) || offset < 0 || offset + length > disk.size) return null;
  const bytes = Buffer.alloc(length);
  await disk.read(offset, bytes);
  return bytes;
}

/** A part of a disk as a disk of its own. */
export function partOf(disk: ReadableDisk, start: number, length: number): ReadableDisk {
  const size = Math.max(0, Math.min(length, disk.size - start));
  return { size, read: (offset, buffer) => disk.read(start + offset, buffer) };
}

/** An unsigned number of 64 bits; past 2^53 it is none that a disk of ours can have. */
export function readUint64(bytes: Buffer, offset: number): number {
  return Number(bytes.readBigUInt64LE(offset));
}

/** Text up to the first NUL, without what would disturb a terminal. */
export function textAt(bytes: Buffer, offset: number, length: number, encoding: 'utf8' | 'utf16le' = 'utf8'): string {
  const [text = ''] = bytes.toString(encoding, offset, offset + length).split('\0');
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}\ufffd]/gu, '').trim();
}
