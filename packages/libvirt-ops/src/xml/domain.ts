import { badXml, type XmlElement } from './element.ts';
import { parseXml } from './parse.ts';

const DEVICES = ['disk', 'cdrom', 'floppy', 'lun'] as const;
const TYPES = ['file', 'block', 'volume', 'network', 'dir', 'nvme', 'vhostuser'] as const;

export interface DomainDescription {
  readonly name: string;
  readonly uuid: string;
  /** The hypervisor: `kvm`, `qemu`. */
  readonly type: string;
  readonly disks: readonly DiskDescription[];
  /** Files that the domain needs to start, beside its disks: absolute paths. */
  readonly bootFiles: BootFiles;
  /** The program that runs it; null where libvirt chooses. */
  readonly emulator: string | null;
  /** Its processor (`x86_64`) and its board (`pc-q35-7.2`), where the XML names them: of a domain that libvirt knows, it does. */
  readonly arch: string | null;
  readonly machine: string | null;
  /** It has a channel for the QEMU guest agent (which may not run). */
  readonly guestAgent: boolean;
  /** Of a running domain: whether something in the guest has opened that channel; null when the XML does not say. */
  readonly guestAgentConnected: boolean | null;
  /** It has an emulated TPM, whose state lies outside its disks. */
  readonly emulatedTpm: boolean;
  /** The user and group that a running domain's qemu has, where libvirt tells (DAC): not in a user's own libvirt. */
  readonly qemuUser: { readonly uid: number; readonly gid: number } | null;
  /** Models that confine a running domain: `apparmor`, `selinux`, `dac`. */
  readonly securityModels: readonly string[];
  /** The folder of that state, where the XML names one (libvirt 10.10 and newer); else libvirt has its own place. */
  readonly tpmStateFolder?: string;
}

export interface BootFiles {
  readonly loader?: string;
  readonly nvram?: string;
  readonly kernel?: string;
  readonly initrd?: string;
}

export interface DiskDescription {
  /** The device inside the guest, which is also its name in libvirt's calls: `vda`. */
  readonly target: string;
  readonly bus: string | null;
  readonly device: (typeof DEVICES)[number];
  readonly type: (typeof TYPES)[number];
  /** The image's format; `raw` where the XML names none, as libvirt takes it. */
  readonly format: string;
  /** The file, block device or folder; null for other types, and for a drive without a medium. */
  readonly source: string | null;
  readonly volume?: { readonly pool: string; readonly volume: string };
  readonly network?: { readonly protocol: string; readonly name: string | null };
  readonly readonly: boolean;
  readonly shareable: boolean;
  readonly transient: boolean;
  /** The XML names a backing image. That of a domain that is off may not, although there is one. */
  readonly backingChain: boolean;
  /** The file that holds the data of a qcow2 image with an external data file. */
  readonly dataFile?: string;
  /** The image is encrypted by the hypervisor (LUKS): its contents are plain on the NBD side. */
  readonly encrypted: boolean;
  /** Where libvirt keeps the passphrase of an encrypted image, when the XML names one. */
  readonly secret?: SecretReference;
}

/** A secret of libvirt, by its uuid or by its usage. */
export interface SecretReference {
  readonly uuid?: string;
  readonly usage?: string;
}

/** Reads a domain's XML. @throws LibvirtError BAD_XML */
export async function parseDomain(xml: string): Promise<DomainDescription> {
  const root = await parseXml(xml, 'domain', 'The domain XML');
  const name = root.textOf('name');
  if (name === undefined || name === '') throw badXml('The domain XML has no <name>');
  const devices = root.child('devices');
  const system = root.child('os')?.child('type');
  const agent = devices?.all('channel').find(isAgentChannel);
  const channelState = agent?.child('target')?.attribute('state');
  const tpm = devices?.all('tpm').find((device) => device.child('backend')?.attribute('type') === 'emulator');
  const tpmSource = tpm?.child('backend')?.child('source');
  const tpmFolder = tpmSource?.attribute('type') === 'dir' ? tpmSource.attribute('path') : undefined;
  return {
    name,
    uuid: root.textOf('uuid') ?? '',
    type: root.attribute('type') ?? '',
    disks: (devices?.all('disk') ?? []).map(describeDisk),
    bootFiles: bootFiles(root.child('os')),
    emulator: devices?.textOf('emulator')?.trim() || null,
    arch: system?.attribute('arch') ?? null,
    machine: system?.attribute('machine') ?? null,
    guestAgent: agent !== undefined,
    guestAgentConnected: channelState === undefined ? null : channelState === 'connected',
    emulatedTpm: tpm !== undefined,
    qemuUser: qemuUser(root),
    securityModels: root.all('seclabel').flatMap((label) => label.attribute('model') ?? []),
    ...(tpmFolder !== undefined && { tpmStateFolder: tpmFolder }),
  };
}

/** `<seclabel type='dynamic' model='dac'><label>+64055:+108</label></seclabel>` */
function qemuUser(root: XmlElement): DomainDescription['qemuUser'] {
  const dac = root.all('seclabel').find((label) => label.attribute('model') === 'dac');
  const [, uid, gid] = /^\+(\d+):\+(\d+)$/.exec(dac?.textOf('label')?.trim() ?? '') ?? [];
  return uid === undefined || gid === undefined ? null : { uid: Number(uid), gid: Number(gid) };
}

function describeDisk(disk: XmlElement): DiskDescription {
  const target = disk.child('target')?.attribute('dev');
  if (target === undefined || target === '') throw badXml('The domain XML has a disk without a <target dev=…>');
  const type = oneOf(TYPES, disk.attribute('type') ?? 'file', `type of disk ${target}`);
  const source = disk.child('source');
  return {
    target,
    bus: disk.child('target')?.attribute('bus') ?? null,
    device: oneOf(DEVICES, disk.attribute('device') ?? 'disk', `device of disk ${target}`),
    type,
    format: disk.child('driver')?.attribute('type') ?? 'raw',
    source: sourcePath(type, source),
    ...volumeOf(type, source),
    ...networkOf(type, source),
    readonly: disk.child('readonly') !== undefined,
    shareable: disk.child('shareable') !== undefined,
    transient: disk.child('transient') !== undefined,
    backingChain: disk.child('backingStore')?.child('source') !== undefined,
    ...dataFileOf(source),
    ...encryptionOf(disk.child('encryption') ?? source?.child('encryption')),
  };
}

function sourcePath(type: DiskDescription['type'], source: XmlElement | undefined): string | null {
  const key = { file: 'file', block: 'dev', dir: 'dir', volume: '', network: '', nvme: '', vhostuser: '' }[type];
  return source?.attribute(key) || null;
}

function volumeOf(type: string, source: XmlElement | undefined): Pick<DiskDescription, 'volume'> {
  const pool = source?.attribute('pool');
  const volume = source?.attribute('volume');
  return type === 'volume' && pool !== undefined && volume !== undefined ? { volume: { pool, volume } } : {};
}

function networkOf(type: string, source: XmlElement | undefined): Pick<DiskDescription, 'network'> {
  const protocol = source?.attribute('protocol');
  if (type !== 'network' || protocol === undefined) return {};
  return { network: { protocol, name: source?.attribute('name') ?? null } };
}

function encryptionOf(encryption: XmlElement | undefined): Pick<DiskDescription, 'encrypted' | 'secret'> {
  if (encryption === undefined) return { encrypted: false };
  const secret = encryption.child('secret');
  const uuid = secret?.attribute('uuid');
  const usage = secret?.attribute('usage');
  if (uuid !== undefined) return { encrypted: true, secret: { uuid } };
  return usage === undefined ? { encrypted: true } : { encrypted: true, secret: { usage } };
}

/** `<source><dataStore><source file=…/></dataStore></source>` (libvirt 10.10 and newer). */
function dataFileOf(source: XmlElement | undefined): Pick<DiskDescription, 'dataFile'> {
  const store = source?.child('dataStore')?.child('source');
  const file = store?.attribute('file') ?? store?.attribute('dev');
  return file === undefined ? {} : { dataFile: file };
}

function bootFiles(os: XmlElement | undefined): BootFiles {
  const files: Record<string, string> = {};
  for (const kind of ['loader', 'nvram', 'kernel', 'initrd'] as const) {
    const path = os?.textOf(kind)?.trim() || os?.child(kind)?.child('source')?.attribute('file');
    if (path !== undefined && path !== '') files[kind] = path;
  }
  return files;
}

function isAgentChannel(channel: XmlElement): boolean {
  return channel.child('target')?.attribute('name') === 'org.qemu.guest_agent.0';
}

function oneOf<T extends string>(known: readonly T[], value: string, what: string): T {
  const found = known.find((candidate) => candidate === value);
  if (found !== undefined) return found;
  throw badXml(`The domain XML has an unknown ${what}: '${value}'. Known: ${known.join(', ')}`);
}
