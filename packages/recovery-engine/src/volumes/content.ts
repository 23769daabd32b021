import { bytesAt, type ReadableDisk, textAt } from './byte-reader.ts';
import { volumeGroupOf } from './lvm.ts';

/** What a disk or partition holds. */
export interface Content {
  /** `filesystem`: can be mounted; `empty`: nothing that is known, perhaps data of a program. */
  readonly kind: 'filesystem' | 'volume-group' | 'encrypted' | 'raid' | 'swap' | 'empty';
  /** `ext4`, `xfs`, `LVM`, `LUKS` …; empty when it is not known. */
  readonly type: string;
  /** Of a file system; of LVM the name of the volume group. */
  readonly label: string;
  /** Where the mark is by which it was known, in bytes. */
  readonly mark: number;
}

/** A mark at a fixed place, and where the label is, if there is one. */
interface Signature {
  readonly kind: Content['kind'];
  readonly type: string;
  readonly offset: number;
  readonly magic: Uint8Array;
  readonly label?: readonly [offset: number, length: number];
}

const latin1 = (text: string): Uint8Array => Buffer.from(text, 'latin1');

/** Containers first: what they were made over may still be seen beside their own mark. Offsets in bytes. */
const signatures: readonly Signature[] = [
  { kind: 'encrypted', type: 'LUKS', offset: 0, magic: latin1('LUKS\xba\xbe') },
  { kind: 'encrypted', type: 'BitLocker', offset: 3, magic: latin1('-FVE-FS-') },
  { kind: 'raid', type: 'Linux RAID', offset: 0, magic: latin1('\xfc\x4e\x2b\xa9') },
  { kind: 'raid', type: 'Linux RAID', offset: 4096, magic: latin1('\xfc\x4e\x2b\xa9') },
  { kind: 'filesystem', type: 'xfs', offset: 0, magic: latin1('XFSB'), label: [108, 12] },
  { kind: 'filesystem', type: 'btrfs', offset: 65_600, magic: latin1('_BHRfS_M'), label: [65_835, 256] },
  { kind: 'filesystem', type: 'ntfs', offset: 3, magic: latin1('NTFS    ') },
  { kind: 'filesystem', type: 'exfat', offset: 3, magic: latin1('EXFAT   ') },
  { kind: 'filesystem', type: 'vfat', offset: 82, magic: latin1('FAT32   '), label: [71, 11] },
  { kind: 'filesystem', type: 'vfat', offset: 54, magic: latin1('FAT1'), label: [43, 11] },
  { kind: 'filesystem', type: 'squashfs', offset: 0, magic: latin1('hsqs') },
  { kind: 'filesystem', type: 'f2fs', offset: 1024, magic: latin1('\x10\x20\xf5\xf2') },
  { kind: 'filesystem', type: 'iso9660', offset: 32_769, magic: latin1('CD001'), label: [32_808, 32] },
  { kind: 'swap', type: 'swap', offset: 4086, magic: latin1('SWAPSPACE2') },
];

const EMPTY: Content = { kind: 'empty', type: '', label: '', mark: 0 };

/** Looks for the marks of what Linux guests, and others, put on a disk. Rejects with what reading rejects with. */
export async function detectContent(disk: ReadableDisk): Promise<Content> {
  const group = await volumeGroupOf(disk);
  if (group !== null) return { kind: 'volume-group', type: 'LVM', label: group, mark: 512 };
  for (const { kind, type, offset, magic, label } of signatures) {
    const found = await bytesAt(disk, offset, magic.length);
    if (found === null || !found.equals(magic)) continue;
    const bytes = label === undefined ? null : await bytesAt(disk, ...label);
    return { kind, type, label: bytes === null ? '' : textAt(bytes, 0, bytes.length), mark: offset };
  }
  return (await detectExt(disk)) ?? EMPTY;
}

/*
 * The superblock of ext2, 3 and 4 at 1024: 56 magic 53 EF, 92 compatible and 96 incompatible features, 120 label. All of
 * them are mounted by one driver, and told apart by their features.
 */
const HAS_JOURNAL = 0x4;
const IS_JOURNAL = 0x8;
/** Extents, 64-bit and flexible groups, and what else ext3 does not know. */
const EXT4_ONLY = ~0x1f;

async function detectExt(disk: ReadableDisk): Promise<Content | null> {
  const superblock = await bytesAt(disk, 1024, 256);
  if (superblock?.readUInt16LE(56) !== 0xef53) return null;
  const incompatible = superblock.readUInt32LE(96);
  if ((incompatible & IS_JOURNAL) !== 0) return { ...EMPTY, type: 'ext journal' };
  const journal = (superblock.readUInt32LE(92) & HAS_JOURNAL) !== 0;
  const type = (incompatible & EXT4_ONLY) !== 0 ? 'ext4' : journal ? 'ext3' : 'ext2';
  return { kind: 'filesystem', type, label: textAt(superblock, 120, 16), mark: 1024 };
}
