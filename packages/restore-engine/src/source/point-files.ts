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
import type { SourceImage } from '../plan.ts';
import { dataFilePath, imagePath } from '../target/image-options.ts';

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
 * @param onDamage told of files that are damaged, which are then left out; else they are refused
 * @throws BackupSetError CHECKSUM, MISSING_FILE
 */
export async function readPointFiles(
  host: Host,
  set: BackupSet,
  point: RestorePoint,
  onDamage?: (message: string) => void,
): Promise<PointFiles> {
  const read = (work: Promise<string | null>): Promise<string | null> =>
    onDamage === undefined ? work : work.catch((error: unknown) => told(error, onDamage));
  const name = domainXmlName(identOf(point));
  const text = await read(readPointFile(host, set, point, name));
  const imageInfos = new Map<string, string>();
  for (const { disk } of point.disks) {
    const info = await read(readImageInfo(host, set, point, disk));
    if (info !== null) imageInfos.set(disk, info);
  }
  return { domainXml: text === null ? null : { name, text }, imageInfos };
}

/** What qemu-img said of a disk's source image; null when the folder does not have it. */
export async function readImageInfo(
  host: Host,
  set: BackupSet,
  point: RestorePoint,
  disk: string,
): Promise<string | null> {
  return await readPointFile(host, set, point, imageInfoName(disk, identOf(point)));
}

function told(error: unknown, onDamage: (message: string) => void): null {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (!(error instanceof Error) || typeof code !== 'string' || !BESIDE.has(code)) throw error;
  onDamage(error.message);
  return null;
}

/** Codes of errors that tell of a damaged file beside the data. */
const BESIDE: ReadonlySet<string> = new Set(['CHECKSUM', 'MISSING_FILE', 'BAD_XML']);

/**
 * What is known of each disk's source image: as the manifest says, else the VM's configuration, else qemu-img. All of it
 * comes from the backup folder, so each name is checked before it may name a file.
 */
export async function sourceImages(
  point: RestorePoint,
  files: PointFiles,
  onDamage?: (message: string) => void,
): Promise<Map<string, SourceImage>> {
  // A manifest says all that is to be known of the names.
  const needed = point.disks.some(({ imageName }) => imageName === undefined);
  const parsed = files.domainXml === null || !needed ? null : parseDomain(files.domainXml.text);
  const domain = onDamage === undefined ? await parsed : await parsed?.catch((error: unknown) => told(error, onDamage));
  const described = domain?.disks ?? [];
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
export function identOf({ id, level }: RestorePoint): string {
  // An offline increment of the established tool goes by the name of its parent.
  return level === 'copy' ? 'copy' : id.replace(/\+offline$/, '');
}

/**
 * The text of a small file of a point, compared with the sum in its manifest; null when there is none, and none is to be.
 *
 * @throws BackupSetError CHECKSUM, MISSING_FILE
 */
export async function readPointFile(
  host: Host,
  set: BackupSet,
  point: RestorePoint,
  name: string,
): Promise<string | null> {
  const bytes = await readPointBytes(host, set, point, name);
  return bytes === null ? null : Buffer.from(bytes).toString('utf8');
}

/** The same, as it is. */
export async function readPointBytes(
  host: Host,
  set: BackupSet,
  point: RestorePoint,
  name: string,
): Promise<Uint8Array | null> {
  const recorded = point.manifest?.files.find((file) => file.name === name);
  const bytes = await readIfThere(host, join(set.folder, name));
  if (recorded === undefined) return bytes;
  const fields = { file: name, point: point.id };
  if (bytes === null) {
    throw new BackupSetError('MISSING_FILE', `${name}, a file of ${point.id}, is missing. Use another copy.`, fields);
  }
  if (createHash('sha256').update(bytes).digest('hex') !== recorded.sha256) {
    const text = `${name} is not the file that the manifest of ${point.id} names: it is damaged. Use another copy.`;
    throw new BackupSetError('CHECKSUM', text, fields);
  }
  return bytes;
}

async function readIfThere(host: Host, path: string): Promise<Uint8Array | null> {
  try {
    return await host.files.readSmall(path, MAX_SMALL_FILE);
  } catch (error) {
    if (error instanceof HostError && error.code === 'NOT_FOUND') return null;
    throw error;
  }
}
