import type { DiskDescription, SecretReference } from '@virtnbd/libvirt-ops';
import { BackupError } from '../errors.ts';
import type { DomainState } from './plan.ts';

/** Which disks a run saves. Names are target device names (`vda`). */
export interface DiskSelection {
  /** Only these; all that can be saved when absent. */
  readonly include?: readonly string[];
  /** Not these. */
  readonly exclude?: readonly string[];
  /** Raw images, block devices and LUNs, too: each of them whole every time. */
  readonly raw?: boolean;
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

/** A disk that the run saves: an image in a file, on a block device, or on a network. */
export interface SavedDisk {
  readonly target: string;
  /** The format that qemu opens it with: `qcow2` or `raw`. It is never guessed: a guest can write any header it likes. */
  readonly format: string;
  /** The image: an absolute path on the hypervisor's host; of one on a network a name of ours, which no program opens. */
  readonly source: string;
  /** Only libvirt and the VM's qemu reach the image. */
  readonly onNetwork: boolean;
  /** Its image can keep dirty bitmaps. */
  readonly tracksChanges: boolean;
  /** The secret with which the hypervisor decrypts it; of an encrypted disk only. */
  readonly secret?: SecretReference;
}

/**
 * Chooses the disks to save. Removable drives are left out with a note, and raw images with a warning unless they are
 * asked for, on a network refused; what cannot be saved but holds data is refused, too, before anything has happened, so
 * that no backup silently lacks it.
 *
 * @param all with the paths of volumes in place: `resolveVolumes`
 * @param state as the run has the VM while it copies
 * @param before as it finds it
 * @throws BackupError UNKNOWN_DISK, UNSUPPORTED_DISK, NO_DISKS
 */
export function chooseDisks(
  all: readonly DiskDescription[],
  selection: DiskSelection = {},
  state: DomainState = 'running',
  before: DomainState = state,
): DiskChoice {
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
    const { target, device } = disk;
    if (isRemovable(disk)) {
      if (include) throw refusal(disk, `is a ${device} drive, which holds no data of the VM's own`);
      notes.push(`${target} is left out: it is a ${device} drive`);
      continue;
    }
    const elsewhere = whereElse(disk, before);
    if (elsewhere !== null) throw refusal(disk, elsewhere);
    if (disk.format !== 'raw' || selection.raw) disks.push(saved(disk, selection, state));
    else if (include || disk.type === 'network')
      throw refusal(disk, `${rawKind(disk)}; to save all of it each time, give --raw`);
    else warnings.push(`disk ${target} is left out: it ${rawKind(disk)}; --raw saves all of it each time`);
  }
  const reasons = [...notes, ...warnings].join('; ');
  if (disks.length === 0) throw new BackupError('NO_DISKS', `there is no disk to save${reasons && `: ${reasons}`}`);
  return { disks, notes, warnings };
}

function isRemovable({ device }: DiskDescription): boolean {
  return device === 'cdrom' || device === 'floppy';
}

function rawKind({ device }: DiskDescription): string {
  const what = device === 'lun' ? 'is a LUN passed through to the guest' : 'is a raw image';
  return `${what}, which cannot carry a dirty bitmap`;
}

function refusal(disk: DiskDescription, what: string): BackupError {
  return new BackupError(
    'UNSUPPORTED_DISK',
    `disk ${disk.target} ${what}; to make a backup without it, exclude it: -x ${disk.target}`,
    { disk: disk.target },
  );
}

/** Where the data of such a disk is, which no job of the hypervisor reaches. */
const ELSEWHERE: Readonly<Partial<Record<DiskDescription['type'], string>>> = {
  network:
    "is on a network, where only the VM's qemu reaches it: start the VM first, or save the disk where it is stored",
  nvme: 'is an NVMe device handed to the hypervisor, which is not supported; save it from inside the guest',
  vhostuser: 'is served by another program (vhost-user), past the hypervisor; save it there',
  dir: 'is a folder shown as a disk, which is not supported; save the folder',
};

function whereElse({ type, volume }: DiskDescription, state: DomainState): string | null {
  // Its size is told by the VM's qemu alone.
  if (type === 'network' && state !== 'off') return null;
  if (type !== 'volume') return ELSEWHERE[type] ?? null;
  const pool = volume?.pool ?? '';
  return `is the volume ${volume?.volume ?? ''} of the pool ${pool}, where it is not found; start the pool: virsh pool-start ${pool}`;
}

/** @throws BackupError UNSUPPORTED_DISK for a disk that cannot be saved exactly */
function saved(disk: DiskDescription, selection: DiskSelection, state: DomainState): SavedDisk {
  const { target, format, encrypted, secret } = disk;
  const onNetwork = disk.type === 'network';
  const source = onNetwork ? networkSource(disk) : disk.source;
  const refuse = (what: string): BackupError => refusal(disk, what);
  if (disk.readonly) throw refuse('is read-only, and libvirt saves no such disk');
  if (format !== 'qcow2' && format !== 'raw') throw refuse(`has the image format ${format}, which is not supported`);
  if (!source) throw refuse('has no image');
  if (disk.shareable)
    throw refuse('is shared, so other VMs may write to it meanwhile, and what would be saved is no single moment');
  if (encrypted && !selection.allowPlaintext)
    throw refuse('is encrypted, and its plain text would lie in the backup folder (--allow-plaintext permits that)');
  if (encrypted && state === 'off')
    throw refuse(
      'is encrypted, and libvirt gives its secret to the VM alone: save it while the VM runs (-S starts it)',
    );
  if (disk.transient && state !== 'off')
    throw refuse('is transient: what is written to it ends with the VM, and libvirt saves it only while the VM is off');
  const tracksChanges = format === 'qcow2';
  return { target, format, source, onNetwork, tracksChanges, ...(encrypted && secret !== undefined && { secret }) };
}

/** Tells one image from another, at the next run. It has no file name: its base name, which a restored image gets, is the disk's. */
function networkSource({ target, network }: DiskDescription): string {
  return `${network?.protocol ?? 'network'}:${network?.name ?? ''}/${target}`;
}
