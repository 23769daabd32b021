import type { JobTraces } from '@virtnbd/backup-set';
import type { LibvirtConnection } from '@virtnbd/libvirt-ops';

/** The part of a libvirt connection that starts and ends VMs. */
export type VmPower = Pick<LibvirtConnection, 'lookup' | 'start' | 'destroy' | 'resume'>;

/** What a run has done to a VM's state, as its intent says it, so that it can be taken back. */
export type VmTraces = Pick<JobTraces, 'startedVm' | 'pausedVm'>;

/** Starts the VM without letting it run. @returns libvirt's number of this start */
export async function startPaused(libvirt: VmPower, uuid: string): Promise<number> {
  await libvirt.start(uuid, { paused: true });
  return (await libvirt.lookup(uuid)).id ?? 0;
}

/**
 * Ends a VM that a run has started, and lets go on one that it has paused. A VM that somebody has let run, or started,
 * since is theirs: it stays as it is.
 */
export async function restoreVmState(
  libvirt: VmPower,
  uuid: string,
  { startedVm, pausedVm = false }: VmTraces,
): Promise<void> {
  if (startedVm === undefined && !pausedVm) return;
  const { state, id } = await libvirt.lookup(uuid);
  if (state !== 'paused') return;
  if (startedVm === undefined) await libvirt.resume(uuid);
  else if (startedVm === 0 || startedVm === id) await libvirt.destroy(uuid);
}
