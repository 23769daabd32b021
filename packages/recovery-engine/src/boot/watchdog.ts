import { fileURLToPath } from 'node:url';
import { type Companion, startCompanion } from '@virtnbd/host';
import { RecoveryError } from '../errors.ts';
import type { WatchdogOrder } from './watchdog-order.ts';

// Run from the sources (tests), the program is boot-watchdog.ts; built, it is boot-watchdog.js beside this code.
const isSource = import.meta.url.endsWith('.ts');
const PROGRAM = new URL(isSource ? './boot-watchdog.ts' : './boot-watchdog.js', import.meta.url);

/** Sees to it that no VM is left without its disks when this process is killed. */
export class BootWatchdog {
  readonly #companion: Companion;

  private constructor(companion: Companion) {
    this.#companion = companion;
  }

  /** It watches when the promise resolves. */
  static async start(order: WatchdogOrder): Promise<BootWatchdog> {
    const companion = await startCompanion(process.execPath, [fileURLToPath(PROGRAM)]);
    await companion.say(JSON.stringify(order));
    if ((await companion.hear()) === 'ready') return new BootWatchdog(companion);
    companion.end();
    const text = `The watchdog of the VM does not start: ${companion.stderr().trim() || 'it said nothing'}`;
    throw new RecoveryError('ENDED', text);
  }

  /** All is cleaned up, or the VM stands on its own. */
  async dismiss(): Promise<void> {
    // Where it was killed, there is nobody to tell.
    await this.#companion.say('done').catch(() => undefined);
    this.#companion.end();
    await this.#companion.exited;
  }
}
