import { setTimeout as sleep } from 'node:timers/promises';
import type { BlockJobInfo } from './calls/block-jobs.ts';
import { LibvirtError, OwnErrorCode } from './errors.ts';
import type { WorkerThread } from './worker-thread.ts';
import { parseDomain } from './xml/domain.ts';

export interface PullOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: BlockJobInfo) => void;
}

/** Milliseconds between two looks at a job. */
const POLL = 200;

/** Jobs that move the blocks of a running domain's disk, while the guest goes on. */
export class BlockJobs {
  readonly #thread: WorkerThread;

  constructor(thread: WorkerThread) {
    this.#thread = thread;
  }

  /**
   * Copies all that a disk still reads from its backing images into its topmost image, which stands alone afterwards.
   * On abort the job is cancelled: the image then still needs what it was based on.
   *
   * @throws LibvirtError PULL_FAILED when a block could not be copied: the image still has its backing image
   */
  async pull(uuid: string, disk: string, options: PullOptions = {}): Promise<void> {
    const { signal, onProgress } = options;
    signal?.throwIfAborted();
    await this.#thread.call('blockPull', uuid, disk);
    try {
      for (;;) {
        const info = await this.#thread.call('blockJobInfo', uuid, disk);
        if (info === null) break;
        onProgress?.(info);
        await sleep(POLL, undefined, signal === undefined ? {} : { signal });
      }
    } catch (error) {
      // The domain may have ended, and its job with it.
      await this.#thread.call('abortBlockJob', uuid, disk).catch(() => undefined);
      throw signal?.aborted ? signal.reason : error;
    }
    await this.#requireAlone(uuid, disk);
  }

  /** A job that failed ends without a word; libvirt then leaves the backing image in the XML. */
  async #requireAlone(uuid: string, disk: string): Promise<void> {
    const { disks } = await parseDomain(await this.#thread.call('domainXml', uuid, {}));
    const found = disks.find(({ target }) => target === disk);
    if (found !== undefined && !found.backingChain) return;
    const text = `The blocks of disk ${disk} could not all be copied from its backing image: reading or writing one failed.`;
    throw new LibvirtError(OwnErrorCode.pullFailed, text);
  }
}
