import type { DiskDescription } from '@virtnbd/libvirt-ops';
import { BackupError } from './errors.ts';

/** Which disks a run saves. Names are target device names (`vda`). */
export interface DiskSelection {
  /** Only these; all that can be saved when absent. */
  readonly include?: readonly string[];
  /** Not these. */
  readonly exclude?: readonly string[];
  /** Whether the plain text of encrypted disks may be written to the backup folder. */
  readonly allowPlaintext?: boolean;
}

export interface DiskChoice {
  readonly disks: readonly SavedDisk[];
  /** One sentence for each drive that holds no data of the VM's own. */
  readonly notes: readonly string[];
  /** One sentence for each disk that is left out without having been asked for, and for a name that no disk has. */
  readonly warnings: readonly string[];
}

/** A disk that the run saves: a qcow2 image in a file or on a block device. */
export interface SavedDisk {
  readonly target: string;
  readonly format: string;
  /** The image: an absolute path on the hypervisor's host. */
  readonly source: string;
}

/**
 * Chooses the disks to save. Removable drives, and raw images, which carry no dirty bitmap, are left out with a note;
 * what cannot be saved but holds data (network disks and the like) is refused before anything has happened, so that no
 * backup silently lacks it.
 *
 * @throws BackupError UNKNOWN_DISK, UNSUPPORTED_DISK, NO_DISKS
 */
export function chooseDisks(all: readonly DiskDescription[], selection: DiskSelection = {}): DiskChoice {
  const { include, exclude = [] } = selection;
  const names = all.map(({ target }) => target);
  const unknown = include?.find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw new BackupError('UNKNOWN_DISK', `the VM has no disk ${unknown}; it has ${names.join(', ') || 'none'}`);
  const warnings = exclude
    .filter((name) => !names.includes(name))
    .map((name) => `disk ${name} is to be left out, but the VM has only ${names.join(', ') || 'none'}`);
  const notes: string[] = [];
  const disks: SavedDisk[] = [];
  for (const disk of all) {
    if (exclude.includes(disk.target) || (include && !include.includes(disk.target))) continue;
    const reason = withoutBitmap(disk);
    if (reason !== null && include) throw refusal(disk, reason);
    if (isRemovable(disk)) notes.push(`${disk.target} is left out: it is a ${disk.device} drive`);
    else if (reason !== null) warnings.push(`disk ${disk.target} is left out: it ${reason}`);
    else disks.push(saved(disk, selection));
  }
  const reasons = [...notes, ...warnings].join('; ');
  if (disks.length === 0) throw new BackupError('NO_DISKS', `there is no disk to save${reasons && `: ${reasons}`}`);
  return { disks, notes, warnings };
}

function isRemovable({ device }: DiskDescription): boolean {
  return device === 'cdrom' || device === 'floppy';
}

/** Why a disk cannot take part although nothing is wrong with it; null when it can. */
function withoutBitmap(disk: DiskDescription): string | null {
  if (isRemovable(disk)) return `is a ${disk.device} drive`;
  if (disk.device === 'lun') return 'is a LUN passed through to the guest';
  if (disk.format === 'raw' && disk.type !== 'network') return 'is a raw image, which cannot carry a dirty bitmap';
  return null;
}

function refusal(disk: DiskDescription, what: string): BackupError {
  return new BackupError(
    'UNSUPPORTED_DISK',
    `disk ${disk.target} ${what}; to make a backup without it, exclude it: -x ${disk.target}`,
    { disk: disk.target },
  );
}

function saved(disk: DiskDescription, selection: DiskSelection): SavedDisk {
  const refuse = (what: string): BackupError => refusal(disk, what);
  if (disk.readonly) throw refuse('is read-only, and libvirt saves no such disk');
  if (disk.type !== 'file' && disk.type !== 'block') throw refuse(`is of type ${disk.type}, which is not supported`);
  if (disk.format !== 'qcow2') throw refuse(`has the image format ${disk.format}, which is not supported`);
  if (!disk.source) throw refuse('has no image');
  if (disk.encrypted && !selection.allowPlaintext)
    throw refuse('is encrypted, and its plain text would lie in the backup folder (--allow-plaintext permits that)');
  return { target: disk.target, format: disk.format, source: disk.source };
}
