import { resolve } from 'node:path';
import type { HypervisorOptions } from '@virtnbd/hypervisor';
import type { BackupFlags } from './request.ts';

/** How the libvirt that has the VM is reached, and the blocks come from there. */
export function hypervisorOptions(
  flags: BackupFlags,
  password: string | undefined,
  signal: AbortSignal,
): HypervisorOptions {
  const { user } = flags;
  const [sshUser, port, key] = [flags['ssh-user'], flags['ssh-port'], flags['ssh-private-key']];
  const [address, nbdPort, tlsHostname] = [flags['nbd-ip'], flags['nbd-port'], flags['tls-hostname']];
  return {
    uri: flags.uri ?? (process.getuid?.() === 0 ? 'qemu:///system' : 'qemu:///session'),
    ...(user !== undefined && { user }),
    ...(password !== undefined && { password }),
    ssh: {
      ...(sshUser !== undefined && { user: sshUser }),
      ...(port !== undefined && { port }),
      ...(key !== undefined && { privateKey: resolve(key) }),
    },
    transfer: {
      tls: flags.tls,
      certificates: resolve(flags['tls-cert']),
      ...(address !== undefined && { address }),
      ...(nbdPort !== undefined && { port: nbdPort }),
      ...(tlsHostname !== undefined && { tlsHostname }),
    },
    signal,
  };
}
