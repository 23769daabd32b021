import { join } from 'node:path';
import type { PointDisk, RestorePoint } from '@virtnbd/backup-set';
import type { Host, HostFile } from '@virtnbd/host';
import { type ChunkChecksums, checkedSource, type RandomAccessSource, StreamFile } from '@virtnbd/stream-format';
import { InspectError } from './errors.ts';

/** A file that is open for reading. */
export interface OpenedFile extends AsyncDisposable {
  readonly source: RandomAccessSource;
}

/** A stream file that is open, its headers read. */
export interface OpenedStream extends OpenedFile {
  readonly file: StreamFile;
}

export async function openFile(host: Host, path: string): Promise<OpenedFile> {
  const file = await host.files.open(path, 'read');
  try {
    const source = sourceOf(file, await file.size());
    return { source, [Symbol.asyncDispose]: () => file.close() };
  } catch (error) {
    await file.close();
    throw error;
  }
}

function sourceOf(file: HostFile, size: number): RandomAccessSource {
  return { size, read: (offset, buffer) => file.read(offset, buffer) };
}

/**
 * Opens the stream file of a disk at a point by its headers alone.
 *
 * @param options.checksums every read is compared with them, as a restore does
 * @throws StreamFormatError; HostError; InspectError `FOREIGN` when it is not the file that the folder takes it for
 */
export async function openStream(
  host: Host,
  folder: string,
  disk: PointDisk,
  options: { signal?: AbortSignal | undefined; checksums?: ChunkChecksums | undefined } = {},
): Promise<OpenedStream> {
  const opened = await openFile(host, join(folder, disk.file));
  try {
    const { signal, checksums } = options;
    const source = checksums === undefined ? opened.source : checkedSource(opened.source, checksums);
    const file = await StreamFile.open(source, { name: disk.file, ...(signal === undefined ? {} : { signal }) });
    requireSameHeader(disk, file);
    return { ...opened, file };
  } catch (error) {
    await opened[Symbol.asyncDispose]();
    throw error;
  }
}

function requireSameHeader({ disk, file, virtualSize, incremental }: PointDisk, { meta }: StreamFile): void {
  if (meta.diskName === disk && meta.virtualSize === virtualSize && meta.incremental === incremental) return;
  const text = `The header of ${file} is not what its folder says of it: it is another file. Use another copy.`;
  throw new InspectError('FOREIGN', text, { file, disk });
}

/** The disk of a name at a point. */
export function diskOf(point: RestorePoint, disk: string): PointDisk | undefined {
  return point.disks.find((known) => known.disk === disk);
}
