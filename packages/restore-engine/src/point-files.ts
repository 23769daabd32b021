import { createHash } from 'node:crypto';
import { basename, join } from 'node:path';
import {
  assertSafeName,
  type BackupSet,
  BackupSetError,
  domainXmlName,
  imageInfoName,
  type RestorePoint,
} from '@virtnbd/backup-set';
import { type Host, HostError } from '@virtnbd/host';
import { parseDomain } from '@virtnbd/libvirt-ops';
import { dataFilePath, imagePath } from './image-options.ts';
import type { SourceImage } from './plan.ts';

/** More than any real domain XML or qcow.json. */
const MAX_SMALL_FILE = 16 << 20;

/** What lies beside a point's data: the VM's configuration and, by disk, what qemu-img said of the source image. */
export interface PointFiles {
  /** The file's name and content; null when the folder has none. */
  readonly domainXml: { readonly name: string; readonly text: string } | null;
  readonly imageInfos: ReadonlyMap<string, string>;
}

/**
 * Reads the small files of a point, compared with the sums in its manifest.
 *
 * @throws BackupSetError CHECKSUM, MISSING_FILE
 */
export async function readPointFiles(host: Host, set: BackupSet, point: RestorePoint): Promise<PointFiles> {
  const ident = identOf(point);
  const name = domainXmlName(ident);
  const text = await readSmall(host, set, point, name);
  const imageInfos = new Map<string, string>();
  for (const { disk } of point.disks) {
    const info = await readSmall(host, set, point, imageInfoName(disk, ident));
    if (info !== null) imageInfos.set(disk, info);
  }
  return { domainXml: text === null ? null : { name, text }, imageInfos };
}

/**
 * What is known of each disk's source image: as the manifest says, else the VM's configuration, else qemu-img. All of it
 * comes from the backup folder, so each name is checked before it may name a file.
 */
export async function sourceImages(point: RestorePoint, files: PointFiles): Promise<Map<string, SourceImage>> {
  const described = files.domainXml === null ? [] : (await parseDomain(files.domainXml.text)).disks;
  const images = new Map<string, SourceImage>();
  for (const { disk, imageName } of point.disks) {
    const source = described.find(({ target }) => target === disk);
    const info = files.imageInfos.get(disk);
    const path = imageName ?? source?.source ?? (info === undefined ? null : imagePath(info));
    const data = info === undefined ? null : dataFilePath(info);
    images.set(disk, { name: safeBase(path), dataFile: safeBase(data) });
  }
  return images;
}

function safeBase(path: string | null): string | null {
  return path === null ? null : assertSafeName(basename(path));
}

/** The part of the small files' names that says to which point they belong. */
function identOf({ id, level }: RestorePoint): string {
  // An offline increment of the established tool goes by the name of its parent.
  return level === 'copy' ? 'copy' : id.replace(/\+offline$/, '');
}

/** The file's text; null when there is none, and none is to be. */
async function readSmall(host: Host, set: BackupSet, point: RestorePoint, name: string): Promise<string | null> {
  const recorded = point.manifest?.files.find((file) => file.name === name);
  const bytes = await readIfThere(host, join(set.folder, name));
  if (recorded === undefined) return bytes === null ? null : Buffer.from(bytes).toString('utf8');
  const fields = { file: name, point: point.id };
  if (bytes === null) {
    throw new BackupSetError('MISSING_FILE', `${name}, a file of ${point.id}, is missing. Use another copy.`, fields);
  }
  if (createHash('sha256').update(bytes).digest('hex') !== recorded.sha256) {
    const text = `${name} is not the file that the manifest of ${point.id} names: it is damaged. Use another copy.`;
    throw new BackupSetError('CHECKSUM', text, fields);
  }
  return Buffer.from(bytes).toString('utf8');
}

async function readIfThere(host: Host, path: string): Promise<Uint8Array | null> {
  try {
    return await host.files.readSmall(path, MAX_SMALL_FILE);
  } catch (error) {
    if (error instanceof HostError && error.code === 'NOT_FOUND') return null;
    throw error;
  }
}
