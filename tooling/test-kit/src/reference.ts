import { run } from './programs.ts';

/** Writes what an image (with its backing files) holds to a raw file. `-U`: also beside a qemu that has it open. */
export async function referenceOfImage(image: string, format: string, path: string): Promise<void> {
  await run('qemu-img', ['convert', '-U', '-f', format, '-O', 'raw', image, path]);
}

/** Writes what an NBD export holds to a raw file, for use while a backup job is open. `uri`: see `nbdUri`. */
export async function referenceViaNbd(uri: string, path: string): Promise<void> {
  await run('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', uri, path]);
}

/** `nbd+unix:///EXPORT?socket=PATH`, escaped. */
export function nbdUri(socket: string, exportName = ''): string {
  return `nbd+unix:///${encodeURIComponent(exportName)}?socket=${encodeURIComponent(socket)}`;
}
