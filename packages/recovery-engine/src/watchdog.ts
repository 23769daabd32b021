import { fileURLToPath } from 'node:url';
import { type Companion, startCompanion } from '@virtnbd/host';
import type { WatchdogOrder } from './boot/watchdog-order.ts';
import { RecoveryError } from './errors.ts';
import type { Traces } from './mount/traces.ts';

/** Programs of their own; run from the sources (tests) they lie where they are written, built beside this code. */
const PROGRAMS = import.meta.url.endsWith('.ts')
  ? { mapping: './map/mapping-watchdog.ts', boot: './boot/boot-watchdog.ts' }
  : { mapping: './mapping-watchdog.js', boot: './boot-watchdog.js' };

/** What each of them is to take away. */
interface Orders {
  readonly mapping: Traces;
  readonly boot: WatchdogOrder;
}

/**
 * A process that sees to it that nothing stays should this one be killed; should it be killed itself, another takes its
 * place. It is given its order as an argument, and hears `"done"` when nothing is left for it to do.
 */
export class Watchdog {
  readonly #start: () => Promise<Companion>;
  #companion: Companion;
  #released = false;

  private constructor(start: () => Promise<Companion>, companion: Companion) {
    this.#start = start;
    this.#companion = companion;
    this.#replaceWhenGone(companion);
  }

  /**
   * It watches when the promise resolves.
   *
   * @throws RecoveryError `ENDED` when it does not start: without it nothing should be made
   */
  static async start<K extends keyof Orders>(kind: K, order: Orders[K]): Promise<Watchdog> {
    const start = (): Promise<Companion> => startProgram(PROGRAMS[kind], JSON.stringify(order));
    return new Watchdog(start, await start());
  }

  /** Nothing is left that it would have to take away. */
  async release(): Promise<void> {
    this.#released = true;
    await dismiss(this.#companion);
  }

  #replaceWhenGone(companion: Companion): void {
    companion.exited
      .then(async () => {
        if (this.#released) return;
        this.#companion = await this.#start();
        if (this.#released) await dismiss(this.#companion);
        else this.#replaceWhenGone(this.#companion);
      })
      // This process still takes everything away itself.
      .catch(() => undefined);
  }
}

async function startProgram(program: string, order: string): Promise<Companion> {
  const companion = await startCompanion(process.execPath, [fileURLToPath(new URL(program, import.meta.url)), order]);
  if ((await companion.hear()) === 'ready') return companion;
  companion.end();
  const reason = companion.stderr().trim() || 'it said nothing';
  throw new RecoveryError('ENDED', `The process that cleans up after this one does not run: ${reason}`);
}

async function dismiss(companion: Companion): Promise<void> {
  // Where it was killed, there is nobody to tell.
  await companion.say('"done"').catch(() => undefined);
  companion.end();
  await companion.exited;
}
