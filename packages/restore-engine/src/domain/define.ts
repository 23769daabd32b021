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

/**
 * Defines a restored VM.
 *
 * @throws RestoreError DEFINE_FAILED; what was restored stays
 */
export async function defineRestored(
  libvirt: LibvirtConnection,
  { xml, configFile, folder, autostart }: { xml: string; configFile: string; folder: string; autostart: boolean },
): Promise<DefinedDomain> {
  try {
    const { name, uuid } = await libvirt.defineDomain(xml);
    if (autostart) await libvirt.setAutostart(uuid, true);
    return { name, uuid, autostart, pool: await libvirt.refreshPoolAt(folder) };
  } catch (cause) {
    if (!(cause instanceof LibvirtError)) throw cause;
    const text =
      `everything is restored, but the VM is not defined: ${cause.message}. Mend ${configFile}, then: ` +
      `virsh -c '${libvirt.uri}' define '${configFile}'`;
    throw new RestoreError('DEFINE_FAILED', text, { cause });
  }
}
