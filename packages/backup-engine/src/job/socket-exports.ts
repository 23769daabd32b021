import { type Host, HostError } from '@virtnbd/host';
import { LINK_CONNECTIONS, NbdError } from '@virtnbd/nbd-client';
import { BackupError } from '../errors.ts';
import type { DiskExports } from './disk-exports.ts';
import type { JobPaths } from './job-paths.ts';

/** The exports of a job that listens on a unix socket: through that, or through what leads to it from here. */
export async function socketExports(
  hypervisor: Host,
  { socketPath }: JobPaths,
  dirtyContext: (target: string) => string,
  endJob: () => Promise<void>,
): Promise<DiskExports> {
  const path = socketPath ?? '';
  // Whoever may not read the disk must not read it here. Where the socket is another user's, its folder decides.
  await hypervisor.files.chmod(path, 0o600).catch(() => undefined);
  const route = await hypervisor.route(path);
  return {
    address: () => ({ path: route.path }),
    ...(hypervisor.name !== '' && { connections: LINK_CONNECTIONS }),
    dirtyContext,
    explain: (failure) => explain(hypervisor, path, failure),
    end: async () => {
      await endJob();
      await route.close();
      await hypervisor.files.remove(path);
    },
  };
}

/** ssh does not tell why it could not open a socket on the other side, nor that it is the link that has gone. */
async function explain(hypervisor: Host, path: string, failure: unknown): Promise<unknown> {
  const { name } = hypervisor;
  if (name === '' || !(failure instanceof NbdError)) return failure;
  try {
    await hypervisor.run('sh', ['-c', '[ ! -e "$1" ] || [ -w "$1" ]', 'sh', path]);
    return failure;
  } catch (error) {
    if (!(error instanceof HostError)) return failure;
    if (error.code !== 'PROGRAM_FAILED') return error;
  }
  const text =
    `${name} may not open ${path}, the socket of the backup job, which belongs to the user that qemu runs as. Log in as ` +
    'root or as that user (--ssh-user); or let the blocks come over the network: --nbd-ip ADDRESS, with --tls to encrypt them';
  return new BackupError('SOCKET_DENIED', text, { cause: failure });
}
