import { basename, join } from 'node:path';
import { assertSafeName } from '@virtnbd/backup-set';
import type { Host } from '@virtnbd/host';
import type { DomainDescription } from '@virtnbd/libvirt-ops';
import type { PointFiles } from './point-files.ts';
import { BOOT_FILE_KINDS, type BootFileKind } from './transient-xml.ts';

/** Where programs and firmware of the system lie: nothing that a backup names elsewhere is run. */
const SYSTEM_FOLDERS = ['/usr/', '/bin/', '/run/current-system/', '/nix/store/'];

/** Whether a path that a backup names is a file of this system. */
export async function isSystemFile(host: Host, path: string): Promise<boolean> {
  if (!SYSTEM_FOLDERS.some((folder) => path.startsWith(folder)) || path.includes('/../')) return false;
  return (await host.files.stat(path))?.kind === 'file';
}

/** The boot files that were saved, as copies in `folder`, by what they are. */
export interface PlacedBootFiles {
  readonly places: ReadonlyMap<BootFileKind, string>;
  readonly contents: ReadonlyMap<string, Uint8Array>;
}

/**
 * What the VM boots with: of variables, kernel and initrd the saved copy; the firmware's code, which the VM cannot change, as it
 * is on this system, and the saved copy only where it is missing. Variables that were not saved come anew from the template.
 */
export async function planBootFiles(
  host: Host,
  files: PointFiles,
  { bootFiles }: DomainDescription,
  folder: string,
): Promise<PlacedBootFiles> {
  const places = new Map<BootFileKind, string>();
  const contents = new Map<string, Uint8Array>();
  for (const kind of BOOT_FILE_KINDS) {
    const path = bootFiles[kind];
    if (path === undefined || (kind === 'loader' && (await isSystemFile(host, path)))) continue;
    const saved = await files.bootFile(path);
    if (saved === null && kind !== 'nvram') continue;
    const place = join(folder, assertSafeName(`${kind}.${basename(path)}`));
    places.set(kind, place);
    if (saved !== null) contents.set(place, saved);
  }
  return { places, contents };
}
