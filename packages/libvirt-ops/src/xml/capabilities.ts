import { parseXml } from './parse.ts';

/** A security driver of the host. */
export interface SecurityModel {
  /** `dac`, `selinux`, `apparmor`, `none`. */
  readonly model: string;
  /** What a domain gets, by its type (`kvm`, `qemu`); of `dac` it is the user and group: `+64055:+106`. */
  readonly baseLabels: ReadonlyMap<string, string>;
}

/** Reads the security drivers from the XML of a connection's capabilities. @throws LibvirtError BAD_XML */
export async function parseSecurityModels(capabilities: string): Promise<SecurityModel[]> {
  const root = await parseXml(capabilities, 'capabilities', "The host's capabilities");
  return (root.child('host')?.all('secmodel') ?? []).map((model) => ({
    model: model.textOf('model') ?? '',
    baseLabels: new Map(model.all('baselabel').map((label) => [label.attribute('type') ?? '', label.text])),
  }));
}
