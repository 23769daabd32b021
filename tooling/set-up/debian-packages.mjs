/**
 * What the demo and the tests need from the system, and the Debian package that brings it. A need counts as met when
 * one of its files is there, however it was installed. None of the packages starts a daemon (the libvirt daemon comes
 * without the service that `libvirt-daemon-system` would add), except openssh-server where systemd runs.
 */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Needed by `npm run demo` and by nearly every test. */
export const base = [
  { program: 'libvirtd', debian: 'libvirt-daemon' },
  { file: 'libvirt/connection-driver/libvirt_driver_qemu.so', debian: 'libvirt-daemon-driver-qemu' },
  { program: 'virsh', debian: 'libvirt-clients' },
  { program: 'qemu-system-x86_64', debian: 'qemu-system-x86' },
  { program: 'qemu-nbd', debian: 'qemu-utils' },
  { program: 'mkfs.ext4', debian: 'e2fsprogs' },
  { program: 'setpriv', debian: 'util-linux' },
  { file: 'libdeflate.so.0', debian: 'libdeflate0' },
];

/** Counterparts that only some tests run against. */
export const counterparts = [
  { program: 'virtnbdbackup', debian: 'virtnbdbackup' },
  { program: 'nbdkit', debian: 'nbdkit' },
  { program: 'nbdcopy', debian: 'libnbd-bin' },
  { program: 'lz4', debian: 'lz4' },
  { program: 'busybox', debian: 'busybox-static' },
  { program: 'chromium', debian: 'chromium' },
  { program: 'nbd-server', debian: 'nbd-server' },
  { program: 'certtool', debian: 'gnutls-bin' },
  { program: 'python3', debian: 'python3' },
  { program: 'guestfish', debian: 'guestfish' },
  { program: 'guestmount', debian: 'guestmount' },
  { program: 'fusermount3', debian: 'fuse3' },
  { program: 'sfdisk', debian: 'fdisk' },
  { program: 'mkfs.xfs', debian: 'xfsprogs' },
  { program: 'mkfs.btrfs', debian: 'btrfs-progs' },
  { program: 'mkfs.vfat', debian: 'dosfstools' },
  { program: 'pgrep', debian: 'procps' },
  { program: 'fincore', debian: 'util-linux-extra' },
  { program: 'unzip', debian: 'unzip' },
  { program: 'swtpm', debian: 'swtpm' },
  { program: 'swtpm_setup', debian: 'swtpm-tools' },
  { program: 'sshd', debian: 'openssh-server' },
  { program: 'ssh', debian: 'openssh-client' },
  { program: 'nc', debian: 'netcat-openbsd' },
  { program: 'ip', debian: 'iproute2' },
  { program: 'saslpasswd2', debian: 'sasl2-bin' },
  { file: 'sasl2/libdigestmd5.so', debian: 'libsasl2-modules' },
];

/** Not node_modules/.bin, which npm puts first: commands of ours have the names of the established ones. */
const path = (process.env.PATH ?? '').split(delimiter).filter((folder) => !folder.includes('node_modules'));
const programFolders = [...path, '/usr/local/sbin', '/usr/sbin', '/sbin'];
const libraryFolders = ['/usr/lib', '/usr/lib64', '/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu'];

/** The entries of `needs` that this machine does not meet. */
export function missing(needs) {
  return needs.filter(({ program, file }) => {
    const places = program ? programFolders.map((f) => join(f, program)) : libraryFolders.map((f) => join(f, file));
    return !places.some((place) => existsSync(place));
  });
}
