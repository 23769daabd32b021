import { join } from 'node:path';
import { TestKitError } from '../errors.ts';
import { makeImage } from '../files.ts';
import { guestFiles } from '../guest/guest.ts';
import { giveToDaemon } from '../identity.ts';
import { findProgram } from '../programs.ts';
import { type DiskBus, type DiskSource, diskXml, domainXml, type Firmware } from './domain-xml.ts';

export interface DiskSpec {
  /** `vda`, `sdb` … */
  readonly target: string;
  /** Default `qcow2`. */
  readonly format?: 'qcow2' | 'raw';
  /** Bytes, or what qemu-img understands (`64M`). Default 64M. */
  readonly size?: number | string;
  /** An image to use as it is, in place; it is given to the user that qemu runs as. */
  readonly image?: string;
  /** How libvirt is told of the image; as a file by default. */
  readonly source?: DiskSource;
  /** Default by the target: `vd…` virtio, `sd…` scsi. */
  readonly bus?: DiskBus;
  /** More attributes of `<driver>`, as XML text. */
  readonly driver?: string;
  /** More elements inside `<disk>`. */
  readonly xml?: string;
  /** More options for `qemu-img create`. */
  readonly createOptions?: readonly string[];
}

export interface VmSpec {
  /** Any name that libvirt takes: spaces, brackets, quotes, unicode. Default `vm-N`. */
  readonly name?: string;
  readonly disks: readonly DiskSpec[];
  /** Default 32, with a guest 192. */
  readonly memoryMiB?: number;
  /** Boots the small Linux with the guest agent; vda's ext4, if there is one, is mounted at /mnt. */
  readonly guest?: boolean;
  /** Default true without a guest: no guest code runs, only the test writes to the disks. */
  readonly paused?: boolean;
  /** false: only define it. */
  readonly start?: boolean;
  readonly firmware?: Firmware;
  /** More elements inside `<devices>`. */
  readonly xmlExtra?: string;
  /** More elements inside `<domain>`. */
  readonly domainExtra?: string;
}

export interface VmDisk {
  readonly target: string;
  readonly format: string;
  readonly bus: DiskBus;
  /** The image that the disk was made with; after an external snapshot ask `TestVm.imagePath`. */
  readonly path: string;
}

/** A unix socket's path has at most 107 bytes; libvirt's channel path is this long without folder and VM name. */
const CHANNEL_PATH_BYTES = Buffer.byteLength('/c/libvirt/qemu/channel/target/domain-1000-/org.qemu.guest_agent.0');

/** `number` is the VM's: it keeps the names of new images apart. */
export async function prepareDisk(folder: string, number: number, spec: DiskSpec): Promise<VmDisk> {
  const format = spec.format ?? 'qcow2';
  const path = spec.image ?? join(folder, 'images', `${number}-${spec.target}.${format}`);
  if (spec.image === undefined) {
    await makeImage(path, { format, size: spec.size ?? '64M', options: spec.createOptions ?? [] });
  }
  await giveToDaemon(path);
  const bus = spec.bus ?? (spec.target.startsWith('sd') ? 'scsi' : 'virtio');
  return { target: spec.target, format, bus, path };
}

export function diskXmlOf(spec: DiskSpec, disk: VmDisk): string {
  return diskXml({ ...disk, source: spec.source, driver: spec.driver, xml: spec.xml });
}

export async function prepareVm(
  folder: string,
  number: number,
  spec: VmSpec,
): Promise<{ name: string; disks: VmDisk[]; xml: string }> {
  const name = spec.name ?? `vm-${number}`;
  const emulator = findProgram('qemu-system-x86_64');
  if (emulator === null) {
    throw new TestKitError('PROGRAM_MISSING', 'VMs need QEMU: apt-get install --no-install-recommends qemu-system-x86');
  }
  const disks: VmDisk[] = [];
  for (const disk of spec.disks) disks.push(await prepareDisk(folder, number, disk));
  const guest = spec.guest === true ? await guestFiles(join(folder, 'images')) : null;
  const shortName = name.slice(0, 20);
  const agentPath = CHANNEL_PATH_BYTES + Buffer.byteLength(folder) + Buffer.byteLength(shortName) > 107;
  const xml = domainXml({
    name,
    memoryMiB: spec.memoryMiB ?? (guest === null ? 32 : 192),
    disks: disks.map((disk, i) => {
      const { source, driver, xml } = spec.disks[i] ?? {};
      return { ...disk, source, driver, xml };
    }),
    emulator,
    firmware: spec.firmware ?? 'bios',
    boot: guest === null ? undefined : { ...guest, arguments: 'console=ttyS0 quiet panic=1' },
    agent:
      guest === null
        ? undefined
        : {
            path: agentPath ? join(folder, `ga${number}.sock`) : null,
            console: join(folder, 'images', `${number}-console.log`),
          },
    devices: spec.xmlExtra ?? '',
    extra: spec.domainExtra ?? '',
  });
  return { name, disks, xml };
}
