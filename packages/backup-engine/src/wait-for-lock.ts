import { setTimeout as sleep } from 'node:timers/promises';
import { BackupSetError } from '@virtnbd/backup-set';

/** Milliseconds between two looks at a lock. */
const INTERVAL_MS = 250;

export interface LockWait {
  /** Seconds to wait for whoever holds the lock; 0: not at all. */
  readonly seconds: number;
  readonly signal: AbortSignal;
  /** Called once, with what is waited for. */
  readonly onWait: (message: string) => void;
}

/**
 * Takes a lock, if need be when another run has given it back.
 *
 * @throws BackupSetError LOCKED when that takes longer than `seconds`; the signal's reason
 */
export async function whenFree<T>(acquire: () => Promise<T>, { seconds, signal, onWait }: LockWait): Promise<T> {
  const end = performance.now() + seconds * 1000;
  for (let told = false; ; ) {
    try {
      return await acquire();
    } catch (error) {
      if (!(error instanceof BackupSetError) || error.code !== 'LOCKED' || performance.now() >= end) throw error;
      if (!told) onWait(error.message);
      told = true;
    }
    const left = Math.max(0, end - performance.now());
    await sleep(Math.min(INTERVAL_MS, left), undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}
