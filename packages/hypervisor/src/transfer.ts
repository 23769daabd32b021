import type { LibvirtUri } from '@virtnbd/libvirt-ops';
import type { NbdTlsOptions } from '@virtnbd/nbd-client';
import { HypervisorError } from './errors.ts';

/** The port that the established tool takes, too. */
export const DEFAULT_PORT = 10809;

/** What a user says of the way that disk blocks take. */
export interface TransferOptions {
  /** Address on the hypervisor that qemu's server listens on. */
  readonly address?: string;
  readonly port?: number;
  /** Encrypted and verified by TLS. */
  readonly tls?: boolean;
  /** The name in the server's certificate, where it is not the address. */
  readonly tlsHostname?: string;
}

/** NBD over TCP, from qemu's own server to this process. */
export interface Transfer {
  readonly listen: string;
  readonly connect: string;
  readonly port: number;
  readonly tls?: NbdTlsOptions;
}

/**
 * The way of the blocks: undefined for the job's unix socket, itself or through ssh, which needs no port and no
 * certificate. Over the network they go only when asked to, or where there is no other way.
 *
 * @throws HypervisorError BAD_OPTIONS
 */
export function planTransfer(
  uri: Pick<LibvirtUri, 'transport' | 'host'>,
  options: TransferOptions,
): { transfer: Omit<Transfer, 'tls'>; secure: boolean; serverName: string } | undefined {
  const { address, port, tls = false, tlsHostname } = options;
  if (tlsHostname !== undefined && !tls)
    throw new HypervisorError('BAD_OPTIONS', '--tls-hostname goes with --tls: without it nobody shows a certificate');
  const hasSocket = uri.transport === 'local' || uri.transport === 'ssh' || uri.transport === 'libssh';
  if (hasSocket && address === undefined && port === undefined && !tls) return undefined;
  const there = uri.host ?? '127.0.0.1';
  const listen = address ?? there;
  const connect = isWildcard(listen) ? there : listen;
  return { transfer: { listen, connect, port: port ?? DEFAULT_PORT }, secure: tls, serverName: tlsHostname ?? connect };
}

/** What to warn of; null when nothing is. */
export function transferWarning({ listen, port }: Pick<Transfer, 'listen' | 'port'>, secure: boolean): string | null {
  if (secure || isLoopback(listen)) return null;
  return (
    `the blocks of the disks come unencrypted from ${listen} port ${port}, and whoever reaches that port during the backup ` +
    'can read them: --tls encrypts, and over qemu+ssh without --nbd-ip and --nbd-port they come through ssh'
  );
}

function isLoopback(address: string): boolean {
  return address === 'localhost' || address === '::1' || /^127(\.\d{1,3}){3}$/.test(address);
}

function isWildcard(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}
