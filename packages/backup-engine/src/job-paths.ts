import { join } from 'node:path';
import type { BackupContext, BackupRequest } from './context.ts';
import type { RunPlan } from './plan.ts';

/** Where qemu keeps what the guest overwrites while the job runs: one file a disk, by target. */
export function scratchFilesOf({ scratchFolder = '/var/tmp' }: BackupRequest, plan: RunPlan): Map<string, string> {
  const run = `${process.pid}.${Date.now().toString(36)}`;
  return new Map(plan.disks.map(({ target }) => [target, join(scratchFolder, `backup.${run}.${target}`)]));
}

/** A free path for the job's socket, `/var/tmp/virtnbdbackup.PID`: AppArmor's profiles permit that pattern. */
export async function freeSocketPath({ host }: BackupContext): Promise<string> {
  const path = `/var/tmp/virtnbdbackup.${process.pid}`;
  for (let n = 0; ; n++) {
    const candidate = n === 0 ? path : `${path}.${n}`;
    if ((await host.files.stat(candidate)) === null) return candidate;
  }
}
