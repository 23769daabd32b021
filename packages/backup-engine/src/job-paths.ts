import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { JobTraces } from '@virtnbd/backup-set';
import type { BackupContext, BackupRequest } from './context.ts';
import type { RunPlan } from './plan.ts';

/** What a run leaves outside the backup folder while it reads. */
export interface JobPaths {
  /** The socket of the job; of a VM that is off, a private folder for the sockets of its images' servers. */
  readonly socketPath: string;
  /** Where qemu keeps what the guest overwrites meanwhile: one file a disk, by target. */
  readonly scratchFiles: ReadonlyMap<string, string>;
}

/** Paths for the job of this run, which nothing else has. */
export async function jobPaths(context: BackupContext, request: BackupRequest, plan: RunPlan): Promise<JobPaths> {
  if (plan.state === 'off') return { socketPath: imageServersFolder(), scratchFiles: new Map() };
  return {
    socketPath: request.socketPath ?? (await freeSocketPath(context)),
    scratchFiles: scratchFilesOf(request, plan),
  };
}

/** All of it as an intent names it, for whoever has to clear it away: what lies in a folder before the folder. */
export function jobTraces({ socketPath, scratchFiles }: JobPaths, plan: RunPlan): JobTraces {
  if (plan.state !== 'off') return { socketPath, scratchFiles: [...scratchFiles.values()] };
  const sockets = plan.disks.map(({ target }) => imageSocket(socketPath, target));
  return { socketPath: null, scratchFiles: [...sockets, socketPath] };
}

/** The socket of a disk's image server. */
export function imageSocket(folder: string, target: string): string {
  return join(folder, `${target}.sock`);
}

function imageServersFolder(): string {
  return `/tmp/virtnbdbackup.${process.pid}.${randomBytes(4).toString('hex')}`;
}

function scratchFilesOf({ scratchFolder = '/var/tmp' }: BackupRequest, plan: RunPlan): Map<string, string> {
  const run = `${process.pid}.${Date.now().toString(36)}`;
  return new Map(plan.disks.map(({ target }) => [target, join(scratchFolder, `backup.${run}.${target}`)]));
}

/** A free path for the job's socket, `/var/tmp/virtnbdbackup.PID`: AppArmor's profiles permit that pattern. */
async function freeSocketPath({ hypervisor }: BackupContext): Promise<string> {
  const path = `/var/tmp/virtnbdbackup.${process.pid}`;
  for (let n = 0; ; n++) {
    const candidate = n === 0 ? path : `${path}.${n}`;
    if ((await hypervisor.files.stat(candidate)) === null) return candidate;
  }
}
