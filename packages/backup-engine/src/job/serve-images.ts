import { type Host, HostError, type RunningProgram, type SocketRoute } from '@virtnbd/host';
import { LINK_CONNECTIONS } from '@virtnbd/nbd-client';
import { BackupError } from '../errors.ts';
import type { PlannedDisk } from '../plan/disk-plan.ts';
import type { RunPlan } from '../plan/plan.ts';
import type { DiskExports } from './disk-exports.ts';
import { imageSocket } from './job-paths.ts';

/** Several programs' connections at one time; qemu-nbd lets the next one wait. */
const MAX_CLIENTS = 16;

/**
 * Serves the images of a VM that is off, read-only, each by a qemu-nbd of its own. The servers hold qemu's lock on the
 * images: the VM cannot start as long as they run. They end with this process, also when it is
 * killed; unless there are to be several clients, with the last connection of the first one, too.
 *
 * @param folder a private one for their sockets; made here, and gone with the servers
 * @throws BackupError DOMAIN_ACTIVE when the VM, or anything else, has an image open for writing
 */
export async function serveImages(
  host: Host,
  plan: Pick<RunPlan, 'disks' | 'parent'>,
  folder: string,
  { severalClients, signal }: { readonly severalClients: boolean; readonly signal: AbortSignal },
): Promise<DiskExports> {
  await host.files.makeFolder(folder);
  const servers: RunningProgram[] = [];
  const routes = new Map<string, SocketRoute>();
  const socketPath = (target: string): string => imageSocket(folder, target);
  const end = async (): Promise<void> => {
    for (const route of routes.values()) await route.close();
    for (const server of servers) await server.stop();
    await host.files.removeFolder(folder, { recursive: true });
  };
  try {
    for (const disk of plan.disks) {
      const args = [
        ...['--read-only', `--format=${disk.format}`, `--export-name=${disk.target}`],
        ...(disk.since === null ? [] : [`--bitmap=${disk.since}`]),
        `--shared=${MAX_CLIENTS}`,
        ...(severalClients ? ['--persistent'] : []),
        `--socket=${socketPath(disk.target)}`,
        disk.source,
      ];
      const server = await host.start('qemu-nbd', args, { killedWithParent: true });
      servers.push(server);
      await waitFor(host, server, disk, socketPath(disk.target), signal);
      routes.set(disk.target, await host.route(socketPath(disk.target)));
    }
  } catch (error) {
    await end();
    throw error;
  }
  return {
    address: (target) => ({ path: routes.get(target)?.path ?? socketPath(target) }),
    ...(host.name !== '' && { connections: LINK_CONNECTIONS }),
    dirtyContext: () => `qemu:dirty-bitmap:${plan.parent ?? ''}`,
    end,
  };
}

async function waitFor(
  host: Host,
  server: RunningProgram,
  { target, source }: PlannedDisk,
  socketPath: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    await host.waitForSocket(socketPath, { program: server, signal });
  } catch (cause) {
    if (!(cause instanceof HostError)) throw cause;
    const words = server.stderr().trim();
    if (/lock/i.test(words))
      throw new BackupError(
        'DOMAIN_ACTIVE',
        `disk ${target}: ${source} is in use, so the VM or another program has just started; try again. qemu-nbd ` +
          `says: ${words}`,
        { cause, disk: target },
      );
    throw new BackupError('COPY_FAILED', `disk ${target}: ${source} cannot be served: ${words || cause.message}`, {
      cause,
      disk: target,
    });
  }
}
