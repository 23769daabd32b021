import type { Host } from '@virtnbd/host';
import { BackupError } from '../errors.ts';

/** Bytes that must stay free where the scratch files are: below, the guest's own writes are about to fail. */
export const SCRATCH_RESERVE = 64 << 20;
/** Milliseconds between two looks: on this machine one costs nothing, on another a question through its link. */
const LOOK_MS = 100;
const LOOK_FAR_MS = 2_000;

/**
 * Watches the file system that qemu keeps the guest's overwritten blocks on. When it is about to be full, `signal` is
 * aborted: a failed backup is nothing against a guest whose disk reports errors.
 */
export class ScratchWatch implements Disposable {
  readonly signal: AbortSignal;
  readonly #timer: NodeJS.Timeout;

  constructor(host: Host, folder: string, reserve = SCRATCH_RESERVE) {
    const controller = new AbortController();
    this.signal = controller.signal;
    let looking = false;
    this.#timer = setInterval(
      async () => {
        if (looking) return;
        looking = true;
        // A host that does not tell is no reason to end the backup.
        const free = await host.files.freeSpace(folder).catch(() => Number.POSITIVE_INFINITY);
        looking = false;
        if (free < reserve) controller.abort(scratchFull(folder, free));
      },
      host.name === '' ? LOOK_MS : LOOK_FAR_MS,
    );
    this.#timer.unref();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

function scratchFull(folder: string, free: number): BackupError {
  return new BackupError(
    'SCRATCH_FULL',
    `the file system of the scratch folder ${folder} has only ${free} bytes left, and when it is full the guest's own ` +
      `writes fail: the backup has ended before that; free space there, or name another folder: --scratchdir DIR`,
  );
}
