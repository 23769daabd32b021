import { type EditableElement, EditableXml } from '@virtnbd/libvirt-ops';
import { RestoreError } from '../errors.ts';
import { adjustBootFiles } from './adjust-boot.ts';
import { adjustDisks } from './adjust-disk.ts';
import { type Adjustment, type ChangeLog, only, tpmBackend } from './adjustment.ts';

export interface AdjustedDomain extends ChangeLog {
  readonly xml: string;
  /** The VM's name in it. */
  readonly name: string;
}

/**
 * Makes the configuration of a restored VM from the saved one. It runs beside the original without touching its disks:
 * another name, a new uuid, the restored images. Everything else stays as it was written, to the byte.
 *
 * The text may be damaged or hostile: no disk of the result names a file but the restored ones.
 *
 * @throws RestoreError BAD_DOMAIN; LibvirtError BAD_XML
 */
export function adjustDomain(xml: string, adjustment: Adjustment): AdjustedDomain {
  const document = EditableXml.parse(xml, 'domain', "The VM's configuration");
  const { root } = document;
  const log: ChangeLog = { changes: [], warnings: [] };
  const name = adjustName(root, adjustment.name, log);
  adjustIdentity(root, log);
  adjustDisks(root, adjustment, log);
  adjustBootFiles(root, adjustment.bootFiles ?? new Map(), log);
  adjustInterfaces(root, adjustment.newMac === true, log);
  removeRuntimePaths(root, log);
  removeRuntimeLabels(root, log);
  adjustTpm(root, log);
  return { xml: document.toString(), name, ...log };
}

function adjustName(root: EditableElement, wanted: string | undefined, { changes }: ChangeLog): string {
  const element = only(root, 'name');
  const old = element?.text ?? '';
  if (element === undefined || old === '') throw new RestoreError('BAD_DOMAIN', "the VM's configuration has no <name>");
  const name = wanted ?? `restore_${old}`;
  if (name === old) return name;
  element.setText(name);
  changes.push(`name: ${name}, was ${old}`);
  return name;
}

/** libvirt takes the uuid from the SMBIOS data when the domain has none: it must not bring the original's back. */
function adjustIdentity(root: EditableElement, { changes }: ChangeLog): void {
  const uuid = only(root, 'uuid');
  if (uuid !== undefined) {
    uuid.remove();
    changes.push(`uuid: libvirt gives a new one, was ${uuid.text}`);
  }
  for (const system of root.all('sysinfo').flatMap((info) => info.all('system')))
    for (const entry of system.all('entry').filter((each) => each.attribute('name') === 'uuid')) {
      entry.remove();
      changes.push(`SMBIOS uuid: follows the new uuid, was ${entry.text}`);
    }
  const generation = only(root, 'genid');
  if (generation === undefined || generation.text === '') return;
  generation.setText('');
  changes.push('generation id: libvirt gives a new one, which tells the guest that it was brought back');
}

function adjustInterfaces(root: EditableElement, newMac: boolean, { changes, warnings }: ChangeLog): void {
  const addresses = root
    .all('devices')
    .flatMap((devices) => devices.all('interface'))
    .flatMap((each) => each.all('mac'));
  if (addresses.length === 0) return;
  const list = addresses.map((mac) => mac.attribute('address') ?? '?').join(', ');
  if (!newMac) {
    warnings.push(`MAC addresses are kept (${list}); ask for new ones if the original VM runs on the same network`);
    return;
  }
  for (const mac of addresses) mac.remove();
  changes.push(`MAC addresses: libvirt gives new ones, were ${list}`);
}

/** A socket that libvirt had made for the running original: `…/channel/target/domain-3-vm1/…` or `…/channel/3-vm1/…`. */
const CHANNEL_OF_A_RUN = /\/channel\/(target\/domain-|)\d+-[^/]+\/[^/]+$/;

/** Paths that libvirt makes up for a run. It knows its own ones again, but not those of another user or host. */
function removeRuntimePaths(root: EditableElement, { changes }: ChangeLog): void {
  const channels = root.all('devices').flatMap((devices) => devices.all('channel'));
  for (const channel of channels.filter((each) => each.attribute('type') === 'unix')) {
    const source = only(channel, 'source');
    const path = source?.attribute('path') ?? '';
    if (source === undefined || source.attribute('mode') !== 'bind' || !CHANNEL_OF_A_RUN.test(path)) continue;
    source.remove();
    changes.push(
      `channel ${only(channel, 'target')?.attribute('name') ?? '?'}: libvirt makes a new socket, was ${path}`,
    );
  }
}

/**
 * The labels of a run stand in the configuration of a VM that was on. A host with another security driver than the
 * original's would not start the VM; the labels themselves are made anew at each start.
 */
function removeRuntimeLabels(root: EditableElement, { changes }: ChangeLog): void {
  for (const label of root.all('seclabel')) {
    const plain = label.attribute('type') === 'dynamic' && label.attribute('relabel') !== 'no';
    if (!plain || label.child('baselabel') !== undefined) continue;
    label.remove();
    changes.push(`security label of ${label.attribute('model') ?? '?'}: libvirt makes it anew at each start`);
  }
}

/** Two VMs never share the state of one TPM: libvirt keeps it by the uuid, unless a place is named. */
function adjustTpm(root: EditableElement, { changes }: ChangeLog): void {
  const backend = tpmBackend(root);
  const source = backend === undefined ? undefined : only(backend, 'source');
  if (source === undefined) return;
  source.remove();
  changes.push(`TPM: its state is where libvirt keeps it, was ${source.attribute('path') ?? '?'}`);
}
