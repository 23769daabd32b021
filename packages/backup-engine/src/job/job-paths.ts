import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { JobTraces } from '@virtnbd/backup-set';
import type { Host } from '@virtnbd/host';
import type { BackupServer } from '@virtnbd/libvirt-ops';
import type { BackupContext, BackupRequest } from '../context.ts';
import { BackupError } from '../errors.ts';
import type { RunPlan } from '../plan/plan.ts';

/** Where qemu keeps what the guest overwrites, unless told otherwise. */
export const DEFAULT_SCRATCH_FOLDER = '/var/tmp';

/** What a run leaves outside the backup folder while it reads. */
export interface JobPaths {
  /** Where the job's NBD server listens. */
  readonly server: BackupServer;
  /** The socket of the job, null where it listens on TCP; of a VM that is off, a private folder for its servers' sockets. */
  readonly socketPath: string | null;
  /** Where qemu keeps what the guest overwrites meanwhile: one file a disk, by target. */
  readonly scratchFiles: ReadonlyMap<string, string>;
}

/** Paths for the job of this run, which nothing else has. */
export async function jobPaths(context: BackupContext, request: BackupRequest, plan: RunPlan): Promise<JobPaths> {
  if (plan.state === 'off') {
    const socketPath = imageServersFolder();
    return { server: { socketPath }, socketPath, scratchFiles: new Map() };
  }
  const scratchFiles = scratchFilesOf(request, plan);
  const { transfer, hypervisor } = context;
  if (transfer !== undefined) {
    const { listen: address, port, tls } = transfer;
    return { server: { listen: { address, port, tls: tls !== undefined } }, socketPath: null, scratchFiles };
  }
  const socketPath = request.socketPath ?? (await freeSocketPath(requireHypervisor(hypervisor)));
  return { server: { socketPath }, socketPath, scratchFiles };
}

/** The job as an intent, or `endJob`, knows it. */
export function jobTraces({ socketPath, scratchFiles }: JobPaths, plan: RunPlan): JobTraces {
  if (plan.state !== 'off') return { socketPath, scratchFiles: [...scratchFiles.values()] };
  const folder = socketPath ?? '';
  // What lies in a folder before the folder: in this order it is cleared away.
  const sockets = plan.disks.map(({ target }) => imageSocket(folder, target));
  return { socketPath: null, scratchFiles: [...sockets, folder] };
}

/** For what needs the hypervisor's files or programs. */
export function requireHypervisor(hypervisor: Host | null): Host {
  if (hypervisor !== null) return hypervisor;
  throw new BackupError(
    'ONLY_LIBVIRT',
    "over this URI only libvirt's daemon is reached, not the host's files and programs: an address for the blocks is " +
      'needed (--nbd-ip, --nbd-port), or a URI with qemu+ssh',
  );
}

/** The socket of a disk's image server. */
export function imageSocket(folder: string, target: string): string {
  return join(folder, `${target}.sock`);
}

function imageServersFolder(): string {
  return `/tmp/virtnbdbackup.${process.pid}.${randomBytes(4).toString('hex')}`;
}

function scratchFilesOf({ scratchFolder = DEFAULT_SCRATCH_FOLDER }: BackupRequest, plan: RunPlan): Map<string, string> {
  const run = `${process.pid}.${Date.now().toString(36)}`;
  return new Map(plan.disks.map(({ target }) => [target, join(scratchFolder, `backup.${run}.${target}`)]));
}

/** A free path for the job's socket, `/var/tmp/virtnbdbackup.PID`: AppArmor's profiles permit that pattern. */
async function freeSocketPath(hypervisor: Host): Promise<string> {
  const path = `/var/tmp/virtnbdbackup.${process.pid}`;
  for (let n = 0; ; n++) {
    const candidate = n === 0 ? path : `${path}.${n}`;
    if ((await hypervisor.files.stat(candidate)) === null) return candidate;
  }
}
