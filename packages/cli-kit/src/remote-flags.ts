import { resolve } from 'node:path';
import { Flags } from '@oclif/core';
import type { HypervisorOptions } from '@virtnbd/hypervisor';

const remote = { helpGroup: 'REMOTE' } as const;

/** The flags of commands that reach a libvirt, which may be on another host. */
export const remoteFlags = {
  uri: Flags.string({
    char: 'U',
    description: 'libvirt to connect to; qemu:///system as root, qemu:///session otherwise',
    env: 'LIBVIRT_DEFAULT_URI',
    helpValue: 'qemu+ssh://HOST/system',
    ...remote,
  }),
  user: Flags.string({ description: 'user for a libvirt that asks for one', ...remote }),
  password: Flags.string({
    description: 'its password; visible to others in the list of processes: --password-file is better',
    ...remote,
  }),
  'password-file': Flags.string({
    description: 'a file with the password; else VIRTNBD_PASSWORD, else it is asked for',
    helpValue: 'FILE',
    ...remote,
  }),
  'ssh-user': Flags.string({ description: 'user for ssh; as the URI or ssh itself says by default', ...remote }),
  'ssh-port': Flags.integer({
    description: 'port of the ssh server',
    min: 1,
    max: 65535,
    helpValue: 'PORT',
    ...remote,
  }),
  'ssh-private-key': Flags.string({ description: 'private key for ssh', helpValue: 'FILE', ...remote }),
  'nbd-ip': Flags.string({
    char: 'I',
    description: 'disk blocks come over TCP from this address, rather than through ssh',
    helpValue: 'ADDRESS',
    ...remote,
  }),
  'nbd-port': Flags.integer({
    char: 'P',
    description: 'and from this port; 10809 by default',
    min: 1,
    max: 65535,
    helpValue: 'PORT',
    ...remote,
  }),
  tls: Flags.boolean({ description: 'disk blocks come over TCP, encrypted by TLS or not at all', ...remote }),
  'tls-cert': Flags.string({
    description: 'folder with ca-cert.pem, and client-cert.pem and client-key.pem where the host wants them',
    default: '/etc/pki/qemu/',
    helpValue: 'DIR',
    ...remote,
  }),
  'tls-hostname': Flags.string({
    description: "name in the host's certificate, when it is not the address",
    helpValue: 'NAME',
    ...remote,
  }),
};

/** Those that the established commands have, too. */
export const establishedRemoteFlags: readonly string[] = [
  ...['uri', 'user', 'password', 'ssh-user', 'ssh-port', 'ssh-private-key', 'nbd-ip', 'nbd-port', 'tls', 'tls-cert'],
];

/** The values of those flags. */
export interface RemoteFlags {
  readonly uri: string | undefined;
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly 'password-file': string | undefined;
  readonly 'ssh-user': string | undefined;
  readonly 'ssh-port': number | undefined;
  readonly 'ssh-private-key': string | undefined;
  readonly 'nbd-ip': string | undefined;
  readonly 'nbd-port': number | undefined;
  readonly tls: boolean;
  readonly 'tls-cert': string;
  readonly 'tls-hostname': string | undefined;
}

/** What they say of the hypervisor. @param password see `readPassword` */
export function hypervisorOptions(flags: RemoteFlags, password: string | undefined): HypervisorOptions {
  const key = flags['ssh-private-key'];
  return {
    uri: flags.uri ?? (process.getuid?.() === 0 ? 'qemu:///system' : 'qemu:///session'),
    ...some('user', flags.user),
    ...some('password', password),
    ssh: {
      ...some('user', flags['ssh-user']),
      ...some('port', flags['ssh-port']),
      ...some('privateKey', key === undefined ? undefined : resolve(key)),
    },
    transfer: {
      tls: flags.tls,
      certificates: resolve(flags['tls-cert']),
      ...some('address', flags['nbd-ip']),
      ...some('port', flags['nbd-port']),
      ...some('tlsHostname', flags['tls-hostname']),
    },
  };
}

function some<K extends string, V>(key: K, value: V | undefined): Partial<Record<K, V>> {
  const entry: Partial<Record<K, V>> = {};
  if (value !== undefined) entry[key] = value;
  return entry;
}
