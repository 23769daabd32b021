import { RecoveryError } from '../errors.ts';

/** A file system inside the disks of a restore point. */
export interface GuestFileSystem {
  /** As libguestfs calls it: `/dev/sda1`, `/dev/vg/root`. */
  readonly device: string;
  readonly type: string;
  /** The disk that it lies on; null for a logical volume, which may lie on several. */
  readonly disk: string | null;
  /** Its number on the disk; null where it takes the whole disk. */
  readonly partition: number | null;
  /** `vg/root`, of a logical volume. */
  readonly volume: string | null;
}

/** What list-filesystems calls things that hold no files. */
const NO_FILES = /^(unknown|swap|LVM2_member|linux_raid_member|crypto_LUKS|BitLocker|)$/;

/**
 * Reads the answer of `list-filesystems`: `/dev/sda1: ext4` a line.
 *
 * @param disks in the order in which they were added
 */
export function readFileSystems(lines: readonly string[], disks: readonly string[]): GuestFileSystem[] {
  return lines.flatMap((line): GuestFileSystem[] => {
    const match = /^(\/dev\/\S+|btrfsvol:\S+): ?(\S*)$/.exec(line);
    const device = match?.[1];
    const type = match?.[2] ?? '';
    if (device === undefined || NO_FILES.test(type)) return [];
    const partition = /^\/dev\/sd([a-z]+)(\d*)$/.exec(device);
    if (partition === null) {
      const volume = device.startsWith('/dev/') ? device.slice('/dev/'.length) : device;
      return [{ device, type, disk: null, partition: null, volume }];
    }
    const disk = disks[indexOf(partition[1] ?? '')] ?? null;
    return [{ device, type, disk, partition: partition[2] ? Number(partition[2]) : null, volume: null }];
  });
}

/** a → 0, z → 25, aa → 26 */
function indexOf(letters: string): number {
  return [...letters].reduce((sum, letter) => sum * 26 + letter.charCodeAt(0) - 96, 0) - 1;
}

export interface FileSystemChoice {
  readonly disk?: string | undefined;
  /** A number on the disk, or a logical volume: `vg/root`. */
  readonly partition?: string | undefined;
}

/** @throws RecoveryError `CHOOSE_PARTITION` with the list, when none or several match */
export function chooseFileSystem(known: readonly GuestFileSystem[], choice: FileSystemChoice): GuestFileSystem {
  const { disk, partition } = choice;
  const found = known.filter(
    (each) =>
      (disk === undefined || each.disk === disk) &&
      (partition === undefined || String(each.partition) === partition || each.volume === partition),
  );
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  if (known.length === 0)
    throw new RecoveryError('CHOOSE_PARTITION', 'There is no file system on these disks that could be read.');
  const listed = (found.length === 0 ? known : found).map(nameOf).join('; ');
  const what = found.length === 0 ? 'No file system is called so' : 'There are several file systems';
  throw new RecoveryError('CHOOSE_PARTITION', `${what}. Choose one of: ${listed}`);
}

/** The options that choose it, and what it is. */
export function nameOf({ disk, partition, volume, type }: GuestFileSystem): string {
  if (volume !== null) return `--partition ${volume} (${type})`;
  return `--disk ${disk}${partition === null ? '' : ` --partition ${partition}`} (${type})`;
}
