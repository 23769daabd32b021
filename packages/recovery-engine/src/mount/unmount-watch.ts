import type { Host, RunningProgram } from '@virtnbd/host';
import { mountTable } from './mount-table.ts';

/**
 * Milliseconds that a findmnt waits for an unmount, before the table is looked at. The first one is short: what happened
 * while it started it did not see.
 */
const FIRST_WAIT_MS = 500;
const WAIT_MS = 10_000;

/** Tells when somebody unmounts a folder. */
export class UnmountWatch {
  /** Resolves when nothing is mounted there any more; never settles once the watch was stopped. */
  readonly unmounted: Promise<void>;
  readonly #host: Host;
  readonly #target: string;
  #program: RunningProgram | undefined;
  #stopped = false;

  constructor(host: Host, target: string) {
    this.#host = host;
    this.#target = target;
    this.unmounted = this.#watch();
    this.unmounted.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#program?.stop();
  }

  async #watch(): Promise<void> {
    for (let wait = FIRST_WAIT_MS; !this.#stopped; wait = WAIT_MS) {
      const args = ['--poll=umount', '--first-only', `--timeout=${wait}`, '--mountpoint', this.#target];
      this.#program = await this.#host.start('findmnt', args);
      if (this.#stopped) await this.#program.stop();
      await this.#program.exited;
      const table = await mountTable(this.#host);
      if (!this.#stopped && table.every(({ target }) => target !== this.#target)) return;
    }
    await new Promise<never>(() => undefined);
  }
}
