import type { BackupListener } from '../events.ts';
import { OwedThaw } from './frozen.ts';
import { MAX_FROZEN_MS } from './frozen-limits.ts';
import type { Watchdog } from './watchdog.ts';

/** The part of a libvirt connection that stops a VM's processors. */
export interface VmPause {
  suspend(uuid: string): Promise<void>;
}

export interface PauseOptions {
  /** Lets the VM go on, while `begin` blocks the connection of `vm`. */
  readonly resume: () => Promise<unknown>;
  readonly watchdog: Watchdog;
  readonly tell: BackupListener;
}

/**
 * Runs `begin` while the VM is paused, and lets it go on whatever happens: as a freeze is guarded, at the latest after
 * {@link MAX_FROZEN_MS}, and by the watchdog when this process dies or hangs.
 */
export async function whilePaused(
  vm: VmPause,
  uuid: string,
  begin: () => Promise<void>,
  { resume, watchdog, tell }: PauseOptions,
): Promise<void> {
  await watchdog.arm();
  const since = performance.now();
  const owed = new OwedThaw(resume, watchdog);
  try {
    await vm.suspend(uuid);
    tell({ type: 'info', message: 'the VM is paused' });
    await begin();
  } finally {
    await owed.settle();
  }
  tell({ type: 'info', message: `the VM was paused for ${Math.round(performance.now() - since)} ms` });
  if (owed.late)
    tell({ type: 'warning', message: `the VM went on after ${MAX_FROZEN_MS} ms, before the job had begun` });
}
