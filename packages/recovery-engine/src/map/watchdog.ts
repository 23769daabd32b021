import { fileURLToPath } from 'node:url';
import { type Companion, startCompanion } from '@virtnbd/host';
import { RecoveryError } from '../errors.ts';
import type { Traces } from '../mount/traces.ts';

// Run from the sources (tests), the program is mapping-watchdog.ts; built, it is mapping-watchdog.js beside this code.
const NAME = import.meta.url.endsWith('.ts') ? './mapping-watchdog.ts' : './mapping-watchdog.js';
const PROGRAM = fileURLToPath(new URL(NAME, import.meta.url));

/** Sees to it that nothing stays should this process be killed; should it be killed itself, another takes its place. */
export class MappingWatchdog {
  readonly #traces: Traces;
  #companion: Companion;
  #released = false;

  private constructor(traces: Traces, companion: Companion) {
    this.#traces = traces;
    this.#companion = companion;
    this.#replaceWhenGone(companion);
  }

  /** @throws RecoveryError `ENDED` when it does not start: without it nothing should be mounted */
  static async start(traces: Traces): Promise<MappingWatchdog> {
    return new MappingWatchdog(traces, await startProgram(traces));
  }

  /** Its process. */
  get pid(): number {
    return this.#companion.pid;
  }

  /** Nothing is left that it would have to take away. */
  async release(): Promise<void> {
    this.#released = true;
    const companion = this.#companion;
    await companion.say('"done"').catch(() => undefined);
    companion.end();
    await companion.exited;
  }

  #replaceWhenGone(companion: Companion): void {
    companion.exited
      .then(async () => {
        if (this.#released) return;
        this.#companion = await startProgram(this.#traces);
        if (this.#released) this.#companion.end();
        else this.#replaceWhenGone(this.#companion);
      })
      // This process still takes everything away itself.
      .catch(() => undefined);
  }
}

async function startProgram(traces: Traces): Promise<Companion> {
  const companion = await startCompanion(process.execPath, [PROGRAM]);
  await companion.say(JSON.stringify(traces));
  if ((await companion.hear()) === 'ready') return companion;
  const reason = companion.stderr().trim() || 'it said nothing';
  throw new RecoveryError('ENDED', `The process that cleans up after this one does not run: ${reason}`);
}
