import { type EditableElement, EditableXml } from '@virtnbd/libvirt-ops';
import { isolateDevices } from './devices.ts';

/** A disk of the new VM. */
export interface BootDisk {
  /** The qcow2 image that takes what the guest writes. */
  readonly image: string;
  /** Where all else is read from. */
  readonly server: { readonly socket: string; readonly exportName: string };
}

export interface TransientOptions {
  readonly name: string;
  readonly uuid: string;
  /** A uuid that tells the guest's software that it was copied. */
  readonly generationId: string;
  /** By target device; a disk that is not here is left out. */
  readonly disks: ReadonlyMap<string, BootDisk>;
  /** New places of boot files, by what they are. */
  readonly bootFiles: ReadonlyMap<BootFileKind, string>;
  /** `none`; `saved`: as it was, with new addresses; else every interface goes to this network of libvirt. */
  readonly network: NetworkChoice;
  /** What the guest writes need not survive a crash of the host. */
  readonly throwAway: boolean;
  /** The saved emulator is there, in a system folder. */
  readonly keepEmulator: boolean;
}

export type NetworkChoice = { readonly kind: 'none' | 'saved' } | { readonly kind: 'named'; readonly network: string };

export const BOOT_FILE_KINDS = ['loader', 'nvram', 'kernel', 'initrd'] as const;
export type BootFileKind = (typeof BOOT_FILE_KINDS)[number];

const QEMU_NAMESPACE = 'http://libvirt.org/schemas/domain/qemu/1.0';

/**
 * The XML of a VM that runs from a backup, made of the saved one: a VM of its own (name, uuid, addresses), that shares nothing
 * with the saved VM and reaches nothing of the host's. All else is as it was saved.
 *
 * @returns what was changed beside that, a sentence each
 * @throws LibvirtError BAD_XML
 */
export function transientXml(saved: string, options: TransientOptions): { xml: string; changes: string[] } {
  const document = EditableXml.parse(saved, 'domain', 'The saved configuration');
  const { root } = document;
  root.removeAttribute('id');
  setIdentity(root, options);
  const changes = dropPrivileges(root);
  setBootFiles(root.child('os'), options.bootFiles);
  const devices = root.child('devices');
  if (devices !== undefined) {
    changes.push(...setDisks(devices, options));
    changes.push(...setInterfaces(devices, options.network));
    changes.push(...isolateDevices(devices));
    if (!options.keepEmulator) devices.child('emulator')?.remove();
    for (const device of devices.children) forgetRun(device);
  }
  return { xml: document.toString(), changes };
}

function setIdentity(root: EditableElement, { name, uuid, generationId }: TransientOptions): void {
  root.child('name')?.setText(name);
  const known = root.child('uuid');
  if (known === undefined) root.insert({ name: 'uuid', text: uuid });
  else known.setText(uuid);
  // The same number for the firmware's tables, where it stands: libvirt compares both.
  const entries = root.all('sysinfo').flatMap((info) => info.child('system')?.all('entry') ?? []);
  entries.find((entry) => entry.attribute('name') === 'uuid')?.setText(uuid);
  // The guest shall know that it is a copy (Windows: VM-Generation-ID).
  root.child('genid')?.setText(generationId);
}

/** Labels of the run that was saved, options of qemu's own, files of the host that the firmware would show to the guest. */
function dropPrivileges(root: EditableElement): string[] {
  for (const label of root.all('seclabel')) label.remove();
  const changes: string[] = [];
  for (const options of root.all('commandline', QEMU_NAMESPACE)) {
    options.remove();
    changes.push('without the options of its own for qemu (<qemu:commandline>)');
  }
  for (const info of root.all('sysinfo')) {
    for (const entry of info.all('entry')) if (entry.attribute('file') !== undefined) entry.remove();
  }
  return changes;
}

function setBootFiles(os: EditableElement | undefined, files: ReadonlyMap<BootFileKind, string>): void {
  for (const [kind, path] of files) {
    const element = os?.child(kind);
    const source = element?.child('source');
    if (source === undefined) element?.setText(path);
    else source.setAttribute('file', path);
  }
}

function setDisks(devices: EditableElement, options: TransientOptions): string[] {
  const changes: string[] = [];
  for (const disk of devices.all('disk')) {
    const target = disk.child('target')?.attribute('dev') ?? '';
    const device = disk.attribute('device') ?? 'disk';
    const known = options.disks.get(target);
    if (known !== undefined) setDisk(disk, known, options);
    else if (device === 'cdrom' || device === 'floppy') {
      if (disk.child('source') !== undefined) changes.push(`${target}, a ${device}, is empty`);
      emptyDrive(disk);
    } else {
      disk.remove();
      changes.push(`without the disk ${target}, which this restore point does not hold`);
    }
  }
  return changes;
}

/** Belongs to the saved image or to its run. */
const OF_THE_IMAGE = ['source', 'backingStore', 'mirror', 'auth', 'encryption', 'transient', 'shareable'];

function setDisk(disk: EditableElement, { image, server }: BootDisk, options: TransientOptions): void {
  const { throwAway } = options;
  for (const name of OF_THE_IMAGE) for (const element of disk.all(name)) element.remove();
  disk.setAttribute('type', 'file');
  disk.setAttribute('device', 'disk');
  for (const name of ['sgio', 'rawio', 'model']) disk.removeAttribute(name);
  const driver = disk.child('driver') ?? disk.insert({ name: 'driver', attributes: { name: 'qemu' } });
  driver.setAttribute('type', 'qcow2');
  if (throwAway) {
    driver.setAttribute('cache', 'unsafe');
    driver.removeAttribute('io');
  }
  disk.insert({ name: 'source', attributes: { file: image } });
  disk.insert({
    name: 'backingStore',
    attributes: { type: 'network' },
    children: [
      { name: 'format', attributes: { type: 'raw' } },
      {
        name: 'source',
        attributes: { protocol: 'nbd', name: server.exportName },
        children: [{ name: 'host', attributes: { transport: 'unix', socket: server.socket } }],
      },
      { name: 'backingStore' },
    ],
  });
}

function emptyDrive(disk: EditableElement): void {
  for (const name of OF_THE_IMAGE) for (const element of disk.all(name)) element.remove();
  disk.setAttribute('type', 'file');
}

function setInterfaces(devices: EditableElement, choice: NetworkChoice): string[] {
  const interfaces = devices.all('interface');
  if (choice.kind === 'none') {
    for (const each of interfaces) each.remove();
    return interfaces.length === 0 ? [] : ['without network'];
  }
  for (const each of interfaces) {
    // The saved VM may run beside this one: libvirt gives new addresses and devices.
    for (const name of ['mac', 'target', 'actual', 'port']) each.child(name)?.remove();
    if (choice.kind !== 'named') continue;
    for (const name of ['source', 'virtualport', 'filterref', 'backend']) each.child(name)?.remove();
    each.setAttribute('type', 'network');
    each.insert({ name: 'source', attributes: { network: choice.network } });
  }
  return [];
}

/** Aliases and labels are of the run that was saved. */
function forgetRun(device: EditableElement): void {
  device.child('alias')?.remove();
  for (const label of device.child('source')?.all('seclabel') ?? []) label.remove();
}
