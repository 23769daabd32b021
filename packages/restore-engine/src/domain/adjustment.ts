import type { EditableElement } from '@virtnbd/libvirt-ops';
import { RestoreError } from '../errors.ts';

/** Where a disk was restored to. */
export interface RestoredDisk {
  readonly kind: 'file' | 'device';
  /** Absolute. */
  readonly path: string;
  readonly format: string;
  /** Absolute path of the file with the guest's data, of a qcow2 image that has one. */
  readonly dataFile?: string | undefined;
}

export const BOOT_KINDS = ['loader', 'nvram', 'kernel', 'initrd'] as const;
/** A file that the VM needs to start, beside its disks. */
export type BootKind = (typeof BOOT_KINDS)[number];

/** How a saved configuration is to be changed. */
export interface Adjustment {
  /** The VM's new name; `restore_` before the old one when absent. */
  readonly name?: string | undefined;
  /** Every other disk leaves the configuration. */
  readonly disks: ReadonlyMap<string, RestoredDisk>;
  /** Raw disks stay as they are although they were not restored. */
  readonly keepRaw?: boolean | undefined;
  /** libvirt gives every network interface a new address. */
  readonly newMac?: boolean | undefined;
  /** New paths of files that the VM needs to start; null for one that is to be made anew. Others stay. */
  readonly bootFiles?: ReadonlyMap<BootKind, string | null> | undefined;
}

/** Collects what is done, for the person who asked for it. */
export interface ChangeLog {
  readonly changes: string[];
  readonly warnings: string[];
}

/**
 * The only child of that name. libvirt never writes a second one; which of them it would use is not for a backup
 * folder to play with.
 *
 * @throws RestoreError BAD_DOMAIN
 */
export function only(parent: EditableElement, name: string): EditableElement | undefined {
  const [first, second] = parent.all(name);
  if (second === undefined) return first;
  throw new RestoreError(
    'BAD_DOMAIN',
    `the VM's configuration has two <${name}> in one <${parent.name}>, which libvirt never writes; it was tampered with`,
  );
}

/**
 * Refuses elements of foreign namespaces inside one of libvirt's own. libvirt writes none there, and parts of it look at
 * the names of elements only: one that is no source to us might be one to it.
 *
 * @throws RestoreError BAD_DOMAIN
 */
export function requireOwn(element: EditableElement): void {
  for (const child of element.children) {
    if (child.namespace !== '') {
      const text = `the VM's configuration has a <${child.name}> in a <${element.name}>, which libvirt never writes there`;
      throw new RestoreError('BAD_DOMAIN', `${text}; it was tampered with`);
    }
    requireOwn(child);
  }
}

/** The backend of the emulated TPM; undefined when the VM has none. */
export function tpmBackend(root: EditableElement): EditableElement | undefined {
  const backends = root
    .all('devices')
    .flatMap((devices) => devices.all('tpm'))
    .flatMap((tpm) => only(tpm, 'backend') ?? []);
  return backends.find((backend) => backend.attribute('type') === 'emulator');
}
