import { dirname, join } from 'node:path';
import { type BackupSet, type RestorePoint, tpmStateName } from '@virtnbd/backup-set';
import { type Host, HostError } from '@virtnbd/host';
import { type LibvirtConnection, tpmStateFolder } from '@virtnbd/libvirt-ops';
import { identOf, readPointBytes } from '../source/point-files.ts';
import { readTar, type TarEntry } from './tar-reader.ts';

/** The state of the VM's emulated TPM, as the backup holds it: what the guest has sealed opens with it only. */
export interface TpmState {
  /** Name of the archive in the backup folder. */
  readonly name: string;
  readonly entries: readonly TarEntry[];
}

/** null when the backup holds none. @throws BackupSetError CHECKSUM, MISSING_FILE; RestoreError DAMAGED */
export async function readTpmState(host: Host, set: BackupSet, point: RestorePoint): Promise<TpmState | null> {
  const name = tpmStateName(identOf(point));
  // Only our backups have one, and name it in their manifest.
  if (point.manifest?.files.some((file) => file.name === name && file.role === 'tpm-state') !== true) return null;
  const archive = await readPointBytes(host, set, point, name);
  return archive === null ? null : { name, entries: readTar(archive, name) };
}

/**
 * Puts the state where libvirt looks for it when the VM starts. libvirt makes a new state only where there is none.
 *
 * @throws HostError
 */
export async function placeTpmState(
  host: Host,
  { entries }: TpmState,
  uuid: string,
  libvirt: LibvirtConnection,
): Promise<string> {
  const folder = tpmStateFolder({}, uuid, libvirt.uri, process.env);
  await unpack(host, folder, entries);
  return folder;
}

/** Unpacks files and folders into a new folder, which goes again when that fails. */
async function unpack(host: Host, folder: string, entries: readonly TarEntry[]): Promise<void> {
  await host.files.makeFolder(dirname(folder), { recursive: true, mode: 0o711 });
  await host.files.makeFolder(folder, { mode: 0o711 });
  try {
    const asRoot = (await host.run('id', ['-u'])).stdout.trim() === '0';
    for (const { kind, path, mode, uid, gid, content } of entries) {
      const place = join(folder, path);
      if (kind === 'folder') await host.files.makeFolder(place, { mode });
      else await host.files.writeAtomic(place, content, { mode, replace: false });
      // The emulator runs as a user of its own.
      if (asRoot) await host.run('chown', ['--no-dereference', '--', `${uid}:${gid}`, place]);
    }
  } catch (error) {
    await host.files.removeFolder(folder, { recursive: true }).catch((left: unknown) => {
      if (!(left instanceof HostError)) throw left;
    });
    throw error;
  }
}
