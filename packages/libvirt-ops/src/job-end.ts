import { setTimeout as sleep } from 'node:timers/promises';
import { LibvirtError, OwnErrorCode } from './errors.ts';
import type { AbortJobOptions } from './options.ts';

/** What is asked of a connection here. */
interface Jobs {
  backupXml(uuid: string): Promise<string>;
}

/** Milliseconds between two questions: QEMU needs two or three, unless it has much to do. */
const FIRST_POLL = 1;
const LONGEST_POLL = 10;
const WAIT = 30_000;

/** The running backup job's XML, which tells it from the next one by its node numbers; null when none runs. */
export async function runningBackup(jobs: Jobs, uuid: string): Promise<string | null> {
  try {
    return await jobs.backupXml(uuid);
  } catch (error) {
    // No such job; or with the domain, which may be transient, the job has gone too.
    const gone = ['NO_DOMAIN_BACKUP', 'OPERATION_INVALID', 'NO_DOMAIN'];
    if (error instanceof LibvirtError && gone.includes(error.code)) return null;
    throw error;
  }
}

/**
 * Waits until a backup job has ended. libvirt's abort only asks QEMU to cancel: the export, the socket and the scratch
 * files are in use for some milliseconds more.
 */
export async function waitForJobEnd(jobs: Jobs, uuid: string, job: string, options: AbortJobOptions): Promise<void> {
  const { timeoutMs = WAIT, signal } = options;
  const end = performance.now() + timeoutMs;
  let poll = FIRST_POLL;
  while ((await runningBackup(jobs, uuid)) === job) {
    if (performance.now() > end) {
      throw new LibvirtError(
        OwnErrorCode.timeout,
        `The backup job of domain ${uuid} was told to end, and still runs after ${timeoutMs} ms. ` +
          `See: virsh domjobinfo ${uuid}`,
      );
    }
    await sleep(poll, undefined, signal === undefined ? {} : { signal }).catch(() => signal?.throwIfAborted());
    poll = Math.min(2 * poll, LONGEST_POLL);
  }
}
