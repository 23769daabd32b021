import { bytesAt, type ReadableDisk, readUint64 } from './byte-reader.ts';

/*
 * A physical volume of LVM2. One of the first four sectors is its label: 0 8 "LABELONE", 20 4 offset of the header in it,
 * 24 8 "LVM2 001". The header: 0 32 its uuid, 32 8 its size, from 40 on pairs of offset and size (8 bytes each) of the data
 * areas, ended by a pair of zeroes, then the same of the metadata areas. A metadata area: 4 16 magic, 40 8 where in it the
 * present text begins, 48 8 the text's length. The text begins with the name of the volume group and " {".
 */

const SECTOR = 512;
const AREA_MAGIC = '\x20LVM2\x20x[5A%r0N*>';
/** Room for the longest name that LVM lets a volume group have. */
const NAME_BYTES = 256;

/** The volume group of a physical volume, empty where it has none or does not tell; null when it is no physical volume. */
export async function volumeGroupOf(disk: ReadableDisk): Promise<string | null> {
  for (let sector = 0; sector < 4; sector++) {
    const label = await bytesAt(disk, sector * SECTOR, SECTOR);
    if (label?.toString('latin1', 0, 8) !== 'LABELONE' || label.toString('latin1', 24, 32) !== 'LVM2 001') continue;
    const area = metadataArea(label);
    return area === null ? '' : await nameInArea(disk, area);
  }
  return null;
}

/** Where the first metadata area is. */
function metadataArea(label: Buffer): number | null {
  let at = label.readUInt32LE(20) + 40;
  const pair = (): number | null => (at + 16 <= label.length ? readUint64(label, at) : null);
  while ((pair() ?? 0) !== 0) at += 16;
  at += 16;
  return pair() || null;
}

async function nameInArea(disk: ReadableDisk, area: number): Promise<string> {
  const header = await bytesAt(disk, area, SECTOR);
  if (header?.toString('latin1', 4, 20) !== AREA_MAGIC) return '';
  const text = await bytesAt(disk, area + readUint64(header, 40), NAME_BYTES);
  return /^([\w+.-]+) \{/.exec(text?.toString('latin1') ?? '')?.[1] ?? '';
}
