import { fileURLToPath } from 'node:url';
import { type Companion, startCompanion } from '@virtnbd/host';
import type { ConnectionAddress } from '@virtnbd/libvirt-ops';
import { BackupError } from '../errors.ts';
import type { RunPlan } from '../plan/plan.ts';
import { NO_LIMIT } from './agent-timeout.ts';
import { MAX_FROZEN_MS, WATCHDOG_GRACE_MS } from './frozen-limits.ts';
import type { WatchOrder } from './watch-order.ts';

// Run from the sources (tests), the program is thaw-watchdog.ts; built, it is thaw-watchdog.js beside this code.
const PROGRAM = new URL(import.meta.url.endsWith('.ts') ? './thaw-watchdog.ts' : './thaw-watchdog.js', import.meta.url);

/** Sees to the thaw of a guest should this process not be able to. */
export interface Watchdog {
  /** Before a freeze is asked for. */
  arm(): Promise<void>;
  /** The guest is thawed: nothing is left to watch. */
  disarm(): Promise<void>;
  /** The guest may be frozen, and the run cannot thaw it: the watchdog tries on, for ten minutes, after the run's end too. */
  handOver(): Promise<void>;
}

/** The separate process that `thaw-watchdog.ts` describes. */
export class WatchdogProcess implements Watchdog, AsyncDisposable {
  readonly #companion: Companion;
  #handedOver = false;

  private constructor(companion: Companion) {
    this.#companion = companion;
  }

  /**
   * Starts it and waits until it is connected to libvirt.
   *
   * @throws BackupError WATCHDOG when it does not start: without it no guest may be frozen
   */
  static async start(order: WatchOrder): Promise<WatchdogProcess> {
    const companion = await startCompanion(process.execPath, [fileURLToPath(PROGRAM)]);
    await companion.say(JSON.stringify({ watch: order }));
    const answer = await companion.hear();
    if (answer === 'ready') return new WatchdogProcess(companion);
    const reason = answer?.replace(/^failed: /, '') ?? companion.stderr().trim();
    throw new BackupError('WATCHDOG', `the watchdog that would thaw the guest does not run: ${reason}`);
  }

  async arm(): Promise<void> {
    await this.#companion.say('"armed"');
  }

  async disarm(): Promise<void> {
    await this.#companion.say('"thawed"');
  }

  async handOver(): Promise<void> {
    this.#handedOver = true;
    await this.#companion.say('"owed"');
    this.#companion.leave();
  }

  /** Lets it go; waits for its end unless it has a thaw to see to. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#companion.end();
    if (!this.#handedOver) await this.#companion.exited;
  }
}

/**
 * A watchdog on its way: it starts beside what the run does before the freeze. Of a VM whose guest cannot be frozen
 * and that is not paused there is none.
 */
export class StartingWatchdog implements AsyncDisposable {
  readonly #starting: Promise<WatchdogProcess> | null;

  constructor(
    address: ConnectionAddress,
    { state, handling, agent, domain }: Pick<RunPlan, 'state' | 'handling' | 'agent' | 'domain'>,
  ) {
    const pause = handling === 'pause';
    const order = {
      address,
      uuid: domain.uuid,
      deadlineMs: MAX_FROZEN_MS + WATCHDOG_GRACE_MS,
      agentTimeout: agent.timeout ?? NO_LIMIT,
      pause,
    };
    this.#starting = state === 'running' && (agent.reachable || pause) ? WatchdogProcess.start(order) : null;
    // Told to whoever waits for it.
    this.#starting?.catch(() => undefined);
  }

  /** null where there is nothing to freeze. @throws BackupError WATCHDOG */
  ready(): Promise<Watchdog | null> {
    return this.#starting ?? Promise.resolve(null);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const watchdog = await this.#starting?.catch(() => null);
    await watchdog?.[Symbol.asyncDispose]();
  }
}
