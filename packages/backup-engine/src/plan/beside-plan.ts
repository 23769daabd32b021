import { basename } from 'node:path';
import { bootFileName } from '@virtnbd/backup-set';
import type { Host } from '@virtnbd/host';
import { type DomainDescription, type LibvirtConnection, tpmStateFolder } from '@virtnbd/libvirt-ops';
import { bootFileSource } from '../beside/boot-file-source.ts';
import { BackupError } from '../errors.ts';
import type { BackupListener } from '../events.ts';
import type { DomainState } from './plan.ts';

/** A file that the VM needs to start, and the name that it gets in the backup folder. */
export interface BootFile {
  /** Absolute, on the hypervisor's host. */
  readonly path: string;
  readonly name: string;
}

/** What a point saves beside the disks, as far as it is known before the run begins. */
export interface BesidePlan {
  /** The VM starts with its host. */
  readonly autostart: boolean;
  readonly bootFiles: readonly BootFile[];
  /** The folder with the state of the VM's emulated TPM; null when it has none, or none that can be read. */
  readonly tpmFolder: string | null;
}

interface BesideQuestion {
  readonly description: DomainDescription;
  readonly uuid: string;
  readonly state: DomainState;
  /** The restore point's id. */
  readonly point: string;
  /** The libvirt that has the VM: where it keeps the state of TPMs depends on it. */
  readonly uri: string;
  readonly autostart: boolean;
}

/**
 * Finds what is to be saved beside the disks, and whether it can be read: before anything has happened, because a
 * backup without a boot file is none.
 *
 * @throws BackupError BOOT_FILE; HostError
 */
export async function planBeside(
  { host, libvirt }: { readonly host: Host | null; readonly libvirt: Pick<LibvirtConnection, 'readVolume'> },
  { description, uuid, state, point, uri, autostart }: BesideQuestion,
  tell: BackupListener,
): Promise<BesidePlan> {
  if (host === null) requireNoTpm(description);
  const source = bootFileSource(host, libvirt);
  const bootFiles: BootFile[] = [];
  for (const [kind, path] of Object.entries(description.bootFiles)) {
    if (bootFiles.some((file) => file.path === path)) continue;
    // Made from its template at the first start.
    if (kind === 'nvram' && state === 'off' && (await host?.files.stat(path)) === null) continue;
    await source.requireReadable(kind, path);
    const name = bootFileName(basename(path), point);
    const other = bootFiles.find((file) => file.name === name);
    if (other !== undefined) throw sameName(other.path, path);
    bootFiles.push({ path, name });
  }
  const tpmFolder =
    description.emulatedTpm && host !== null ? await findTpmState(host, description, uuid, uri, tell) : null;
  return { autostart, bootFiles, tpmFolder };
}

function requireNoTpm({ emulatedTpm }: DomainDescription): void {
  if (!emulatedTpm) return;
  const text =
    "the state of the VM's emulated TPM is in files on the hypervisor, and over this URI only libvirt's daemon is reached; " +
    'connect with qemu+ssh';
  throw new BackupError('BOOT_FILE', text);
}

function sameName(one: string, other: string): BackupError {
  return new BackupError(
    'BOOT_FILE',
    `the VM starts from two files of one name, ${one} and ${other}, and in the backup folder a name stands for one; ` +
      'rename one of them, and change the VM by: virsh edit',
  );
}

async function findTpmState(
  host: Host,
  description: DomainDescription,
  uuid: string,
  uri: string,
  tell: BackupListener,
): Promise<string | null> {
  const folder = tpmStateFolder(description, uuid, uri, process.env);
  const readable = await host.files.list(folder).then(
    () => true,
    () => false,
  );
  if (readable) return folder;
  tell({
    type: 'warning',
    message:
      `the state of the VM's emulated TPM is not saved, because its folder cannot be read: ${folder}. What the guest has ` +
      `sealed with the TPM (BitLocker, for instance) does not open without it. Save it as a user who may: ` +
      `tar -C '${folder}' -cf tpmstate.tar .`,
  });
  return null;
}
