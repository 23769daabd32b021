import { join } from 'node:path';
import { assertSafeName, type RestorePoint } from '@virtnbd/backup-set';
import type { Host } from '@virtnbd/host';
import type { BootDisk } from './transient-xml.ts';

export interface OverlayPlace {
  /** Where the images are made. */
  readonly folder: string;
  /** The NBD server's. */
  readonly socket: string;
}

/** The images to be made, by disk. They are called as the saved images were; those of one name, by their disks too. */
export function planOverlays({ disks }: RestorePoint, { folder, socket }: OverlayPlace): Map<string, BootDisk> {
  const names = disks.map(({ disk, imageName }) => imageName ?? `${disk}.qcow2`);
  return new Map(
    disks.map(({ disk }, index) => {
      const name = names[index] ?? '';
      const isTaken = names.indexOf(name) !== names.lastIndexOf(name);
      const image = join(folder, assertSafeName(isTaken ? `${disk}.${name}` : name));
      return [disk, { image, server: { socket, exportName: disk } }];
    }),
  );
}

/** Makes an empty qcow2 image over a disk of the server. */
export async function makeOverlay(host: Host, { image, server }: BootDisk, size: number): Promise<void> {
  const backing = `nbd+unix:///${encodeURIComponent(server.exportName)}?socket=${encodeURIComponent(server.socket)}`;
  // -u: nothing is asked of the server, which knows the size itself.
  const options = ['-u', '-F', 'raw', '-b', backing, '-o', 'compat=1.1,lazy_refcounts=off'];
  await host.run('qemu-img', ['create', '-q', '-f', 'qcow2', ...options, image, String(size)]);
  await host.files.chmod(image, 0o600);
}
