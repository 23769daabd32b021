import { basename, join } from 'node:path';
import { assertSafeName, type BackupSet, domainXmlName, imageInfoName, type RestorePoint } from '@virtnbd/backup-set';
import { type Host, HostError } from '@virtnbd/host';
import { parseDomain } from '@virtnbd/libvirt-ops';
import { imagePath } from './image-options.ts';

/** More than any real domain XML or qcow.json. */
const MAX_SMALL_FILE = 16 << 20;

/** What lies beside a point's data: the VM's configuration and, by disk, what qemu-img said of the source image. */
export interface PointFiles {
  /** The file's name and content; null when the folder has none. */
  readonly domainXml: { readonly name: string; readonly text: string } | null;
  readonly imageInfos: ReadonlyMap<string, string>;
}

/** Reads the small files of a point. */
export async function readPointFiles(host: Host, set: BackupSet, point: RestorePoint): Promise<PointFiles> {
  const ident = identOf(point);
  const name = domainXmlName(ident);
  const text = await readIfThere(host, join(set.folder, name));
  const imageInfos = new Map<string, string>();
  for (const { disk } of point.disks) {
    const info = await readIfThere(host, join(set.folder, imageInfoName(disk, ident)));
    if (info !== null) imageInfos.set(disk, info);
  }
  return { domainXml: text === null ? null : { name, text }, imageInfos };
}

/**
 * The base name of each disk's source image: as the manifest says, else the VM's configuration, else qemu-img. They come
 * from the backup folder, so each is checked before it may name a file.
 */
export async function imageNames(point: RestorePoint, files: PointFiles): Promise<Map<string, string>> {
  const names = new Map<string, string>();
  const described = files.domainXml === null ? [] : (await parseDomain(files.domainXml.text)).disks;
  for (const { disk, imageName } of point.disks) {
    const source = described.find(({ target }) => target === disk)?.source;
    const info = files.imageInfos.get(disk);
    const path = imageName ?? source ?? (info === undefined ? null : imagePath(info));
    if (path !== null) names.set(disk, assertSafeName(basename(path)));
  }
  return names;
}

/** The part of the small files' names that says to which point they belong. */
function identOf({ id, level }: RestorePoint): string {
  return level === 'copy' ? 'copy' : id;
}

async function readIfThere(host: Host, path: string): Promise<string | null> {
  try {
    return Buffer.from(await host.files.readSmall(path, MAX_SMALL_FILE)).toString('utf8');
  } catch (error) {
    if (error instanceof HostError && error.code === 'NOT_FOUND') return null;
    throw error;
  }
}
