import { accessSync, constants } from 'node:fs';
import { TestKitError } from './errors.ts';
import { LIBVIRT_PACKAGES } from './libvirt/daemon.ts';
import { findProgram } from './programs.ts';

interface Counterpart {
  /** Debian packages, or what else to do. */
  readonly install: string;
  readonly present: () => boolean;
}

const programs = (install: string, ...names: readonly string[]): Counterpart => ({
  install,
  present: () => names.every((name) => findProgram(name) !== null),
});

const readable = (path: string): boolean => {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
};

const COUNTERPARTS = {
  libvirt: programs(LIBVIRT_PACKAGES, 'libvirtd', 'virsh', 'qemu-system-x86_64', 'qemu-img'),
  virsh: programs('libvirt-clients', 'virsh'),
  'qemu-img': programs('qemu-utils', 'qemu-img'),
  'qemu-io': programs('qemu-utils', 'qemu-io'),
  'qemu-nbd': programs('qemu-utils', 'qemu-nbd'),
  nbdkit: programs('nbdkit', 'nbdkit'),
  nbdcopy: programs('libnbd-bin', 'nbdcopy'),
  nbdinfo: programs('libnbd-bin', 'nbdinfo'),
  nbdfuse: programs('libnbd-bin', 'nbdfuse', 'fusermount3'),
  lz4: programs('lz4', 'lz4'),
  xz: programs('xz-utils', 'xz'),
  virtnbdbackup: programs('virtnbdbackup', 'virtnbdbackup', 'virtnbdrestore'),
  'mkfs.ext4': programs('e2fsprogs', 'mkfs.ext4'),
  'mkfs.ext3': programs('e2fsprogs', 'mkfs.ext3'),
  'mkfs.ext2': programs('e2fsprogs', 'mkfs.ext2'),
  'mkfs.xfs': programs('xfsprogs', 'mkfs.xfs'),
  'mkfs.btrfs': programs('btrfs-progs', 'mkfs.btrfs'),
  'mkfs.vfat': programs('dosfstools', 'mkfs.vfat'),
  mkswap: programs('util-linux', 'mkswap'),
  fincore: programs('util-linux-extra', 'fincore'),
  sfdisk: programs('fdisk', 'sfdisk'),
  debugfs: programs('e2fsprogs', 'debugfs'),
  certtool: programs('gnutls-bin', 'certtool'),
  sasl: programs('sasl2-bin libsasl2-modules', 'saslpasswd2'),
  ip: programs('iproute2', 'ip'),
  nc: programs('netcat-openbsd', 'nc'),
  sshd: programs('openssh-server openssh-sftp-server openssh-client', 'sshd', 'ssh', 'ssh-keygen'),
  guestmount: programs('guestmount', 'guestmount'),
  guestfish: programs('guestfish', 'guestfish', 'supermin', 'mke2fs'),
  swtpm: programs('swtpm swtpm-tools', 'swtpm', 'swtpm_setup'),
  fuse: { install: 'fuse3, and access to /dev/fuse', present: () => readable('/dev/fuse') },
  root: { install: 'nothing: run as root', present: () => process.getuid?.() === 0 },
  guest: {
    ...programs(`${LIBVIRT_PACKAGES} (and a Debian or Ubuntu on x86-64)`, 'libvirtd', 'apt-get', 'dpkg-deb'),
  },
} satisfies Record<string, Counterpart>;

/** A known counterpart, or the name of a program whose package has the same name. */
export type CounterpartName = keyof typeof COUNTERPARTS | (string & {});

const known: ReadonlyMap<string, Counterpart> = new Map(Object.entries(COUNTERPARTS));

function counterpart(name: string): Counterpart {
  return known.get(name) ?? programs(name, name);
}

export interface Requirement {
  readonly skip: boolean;
  /** What is missing and how to get it; empty when nothing is. */
  readonly reason: string;
}

/**
 * For `test.skipIf(requires('nbdkit').skip)`: a missing counterpart skips a test on a visitor's machine. Where CI is set it
 * throws COUNTERPART_MISSING instead.
 */
export function requires(...names: readonly CounterpartName[]): Requirement {
  const missing = names.filter((name) => !counterpart(name).present());
  if (missing.length === 0) return { skip: false, reason: '' };
  const reason = missing.map((name) => `${name} is missing (install: ${counterpart(name).install})`).join('; ');
  if (!['', '0', 'false'].includes(process.env.CI ?? '')) throw new TestKitError('COUNTERPART_MISSING', reason);
  return { skip: true, reason };
}
