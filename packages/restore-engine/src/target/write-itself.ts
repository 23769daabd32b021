import type { Host, HostFile } from '@virtnbd/host';
import { HEADER_AREA, Qcow2Error, Qcow2Layout } from '@virtnbd/qcow2-writer';
import { RestoreError } from '../errors.ts';
import type { DiskContent } from '../source/content.ts';
import { type FileLayout, RawLayout } from './file-layout.ts';
import type { NewImage } from './image-server.ts';
import { writing } from './write-errors.ts';
import { type WriteFileOptions, writeFile } from './write-file.ts';

/**
 * Writes an image that was just created straight to its file, without a server, if it is of a kind that this can be done
 * with: a raw or qcow2 image on this machine. Over a link a server on the other side takes the blocks faster than
 * SFTP.
 *
 * @returns whether it was; otherwise the image is as it was created
 * @throws RestoreError NO_SPACE, WRITE_FAILED; what the content throws
 */
export async function writeItself(
  host: Host,
  image: NewImage,
  content: DiskContent,
  options: WriteFileOptions,
): Promise<boolean> {
  if (host.name !== '') return false;
  await using file = await host.files.open(image.path, 'read-write', { direct: true });
  const layout = await layoutFor(image, file);
  if (layout === null) return false;
  try {
    await writeFile(content, file, layout, options);
  } catch (error) {
    if (!(error instanceof Qcow2Error)) throw error;
    throw new RestoreError('WRITE_FAILED', `${image.path} could not be written: ${error.message}`, { cause: error });
  }
  return true;
}

/** How the image is laid out; null when only qemu can write it. */
async function layoutFor({ format, preallocate = false }: NewImage, file: HostFile): Promise<FileLayout | null> {
  const size = await file.size();
  if (format === 'raw') return new RawLayout(size);
  // The clusters that are reserved have their places already.
  if (format !== 'qcow2' || preallocate) return null;
  const area = new Uint8Array(Math.min(size, HEADER_AREA));
  await file.read(0, area);
  const layout = qcow2Layout(area);
  if (layout !== null) await writing(file.path, () => file.truncate(0));
  return layout;
}

function qcow2Layout(area: Uint8Array): Qcow2Layout | null {
  try {
    return new Qcow2Layout(area);
  } catch (error) {
    // One of a qemu that has learned something new is left to it.
    if (error instanceof Qcow2Error) return null;
    throw error;
  }
}
