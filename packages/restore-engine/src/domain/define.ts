import { HostError } from '@virtnbd/host';
import { type LibvirtConnection, LibvirtError } from '@virtnbd/libvirt-ops';
import { RestoreError } from '../errors.ts';
import type { DefinedDomain } from './request.ts';

/** Looks before anything is restored whether the name is free. @throws RestoreError DOMAIN_EXISTS; LibvirtError */
export async function requireFreeName(libvirt: LibvirtConnection, name: string): Promise<void> {
  const { uri } = libvirt;
  try {
    await libvirt.lookup(name);
  } catch (error) {
    if (error instanceof LibvirtError && error.code === 'NO_DOMAIN') return;
    throw error;
  }
  const text = `there is a VM ${name} at ${uri} already; give the restored one another name (--name), or undefine that`;
  throw new RestoreError('DOMAIN_EXISTS', text);
}

/** What the definition of a VM needs to know. */
export interface Definition {
  readonly xml: string;
  /** Absolute. */
  readonly configFile: string;
  /** Absolute; the folder of the images. */
  readonly folder: string;
  readonly autostart: boolean;
  /** Puts the state of the VM's TPM in its place, and tells that; null when there is none. */
  readonly placeTpmState: ((uuid: string) => Promise<string>) | null;
}

/**
 * Defines a restored VM.
 *
 * @throws RestoreError DEFINE_FAILED; what was restored stays
 */
export async function defineRestored(libvirt: LibvirtConnection, definition: Definition): Promise<DefinedDomain> {
  const { xml, configFile, folder, autostart } = definition;
  const again = `virsh -c '${libvirt.uri}' define '${configFile}'`;
  const told = `everything is restored, but the VM is not defined (mend ${configFile}, then: ${again})`;
  const { name, uuid } = await explained(told, libvirt.defineDomain(xml));
  const half = `everything is restored, and the VM ${name} is defined, but not all of it is as it was`;
  return await explained(half, complete());

  async function complete(): Promise<DefinedDomain> {
    const tpmState = definition.placeTpmState === null ? null : await definition.placeTpmState(uuid);
    if (autostart) await libvirt.setAutostart(uuid, true);
    return { name, uuid, autostart, pool: await libvirt.refreshPoolAt(folder), tpmState };
  }
}

async function explained<T>(what: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    if (!(cause instanceof LibvirtError || cause instanceof HostError)) throw cause;
    throw new RestoreError('DEFINE_FAILED', `${what}: ${cause.message}`, { cause });
  }
}
