import { type DiskDescription, type LibvirtConnection, LibvirtError } from '@virtnbd/libvirt-ops';

/**
 * Puts the files and devices behind volumes of storage pools in place of these. A volume that libvirt does not find stays
 * what it is, as whether it is wanted at all is not known here.
 *
 * @throws LibvirtError when the connection is gone
 */
export async function resolveVolumes(
  libvirt: Pick<LibvirtConnection, 'volume'>,
  disks: readonly DiskDescription[],
): Promise<DiskDescription[]> {
  return await Promise.all(disks.map((disk) => resolve(libvirt, disk)));
}

/** The kinds of volumes, as the kinds of disks that they are. */
const KINDS: Readonly<Record<string, DiskDescription['type']>> = {
  file: 'file',
  block: 'block',
  dir: 'dir',
  network: 'network',
  netdir: 'network',
};
const NOT_FOUND: readonly string[] = ['NO_STORAGE_POOL', 'NO_STORAGE_VOL', 'OPERATION_INVALID'];

async function resolve(libvirt: Pick<LibvirtConnection, 'volume'>, disk: DiskDescription): Promise<DiskDescription> {
  if (disk.type !== 'volume' || disk.volume === undefined) return disk;
  try {
    const { type, path } = await libvirt.volume(disk.volume.pool, disk.volume.volume);
    return { ...disk, type: KINDS[type] ?? 'volume', source: path };
  } catch (error) {
    if (error instanceof LibvirtError && NOT_FOUND.includes(error.code)) return disk;
    throw error;
  }
}
