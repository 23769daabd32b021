import { parseXml } from './parse.ts';

/** A security driver of the host. */
export interface SecurityModel {
  /** `dac`, `selinux`, `apparmor`, `none`. */
  readonly model: string;
  /** What a domain gets, by its type (`kvm`, `qemu`); of `dac` it is the user and group: `+64055:+106`. */
  readonly baseLabels: ReadonlyMap<string, string>;
}

/** What the hypervisor can do with guests of a kind; null where libvirt does not say. */
export interface DomainCapabilities {
  /** Backup jobs and checkpoints. */
  readonly backup: boolean | null;
}

/** Reads the XML of a guest kind's capabilities. @throws LibvirtError BAD_XML */
export async function parseDomainCapabilities(xml: string): Promise<DomainCapabilities> {
  const root = await parseXml(xml, 'domainCapabilities', "The guest's capabilities");
  const supported = root.child('features')?.child('backup')?.attribute('supported');
  return { backup: supported === undefined ? null : supported === 'yes' };
}

/** Reads the security drivers from the XML of a connection's capabilities. @throws LibvirtError BAD_XML */
export async function parseSecurityModels(capabilities: string): Promise<SecurityModel[]> {
  const root = await parseXml(capabilities, 'capabilities', "The host's capabilities");
  return (root.child('host')?.all('secmodel') ?? []).map((model) => ({
    model: model.textOf('model') ?? '',
    baseLabels: new Map(model.all('baselabel').map((label) => [label.attribute('type') ?? '', label.text])),
  }));
}
