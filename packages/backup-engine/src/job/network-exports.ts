import { LINK_CONNECTIONS, type NbdAddress, NbdError } from '@virtnbd/nbd-client';
import type { NetworkTransfer } from '../context.ts';
import { BackupError } from '../errors.ts';
import type { DiskExports } from './disk-exports.ts';

/** The exports of a job that listens on a port of its host, with TLS or in the clear. */
export function networkExports(
  { connect: host, port, tls }: NetworkTransfer,
  dirtyContext: (target: string) => string,
  end: () => Promise<void>,
): DiskExports {
  const address = (): NbdAddress => ({ host, port });
  return { address, ...(tls && { tls }), connections: LINK_CONNECTIONS, explain, dirtyContext, end };
}

/** With what the certificates are named that the two sides did not like. */
async function explain(failure: unknown): Promise<unknown> {
  if (!(failure instanceof NbdError) || failure.code !== 'TLS') return failure;
  const text =
    `${failure.message}. With --tls-cert FOLDER ca-cert.pem in it counts, and client-cert.pem with client-key.pem for a qemu that ` +
    "wants to know its clients; --tls-hostname is the name in qemu's certificate";
  return new BackupError('TLS_FAILED', text, { cause: failure });
}
