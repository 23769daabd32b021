import { LibvirtError } from '@virtnbd/libvirt-ops';
import type { BackupListener } from '../events.ts';
import { AGENT_TIMEOUT_S } from './agent-timeout.ts';
import { MAX_FROZEN_MS } from './frozen-limits.ts';
import type { Watchdog } from './watchdog.ts';

const THAW_ATTEMPTS = 3;

/** The guest agent's part of a libvirt connection. */
export interface GuestAgent {
  freeze(uuid: string, mountpoints?: readonly string[]): Promise<number>;
  thaw(uuid: string): Promise<number>;
}

export interface FreezeOptions {
  /** Thaws while `begin` blocks the connection of `agent`. */
  readonly thaw: () => Promise<unknown>;
  readonly watchdog: Watchdog;
  readonly mountpoints?: readonly string[];
  readonly tell: BackupListener;
}

/** What came of it. */
export interface FreezeOutcome {
  /** The file systems were frozen all the time that `begin` took. */
  readonly frozen: boolean;
  /** The agent answered, if only to refuse. */
  readonly answers: boolean;
}

/**
 * Runs `begin` while the guest's file systems are frozen, and thaws them whatever happens: when it is done, when it
 * fails, at the latest after {@link MAX_FROZEN_MS}, and by the watchdog when this process dies or hangs. Without an
 * agent that answers, `begin` runs all the same, with a warning: the backup is then what a power cut would leave.
 *
 * @param agent freezes
 */
export async function whileFrozen(
  agent: GuestAgent,
  uuid: string,
  begin: () => Promise<void>,
  { thaw, watchdog, mountpoints, tell }: FreezeOptions,
): Promise<FreezeOutcome> {
  await watchdog.arm();
  const since = performance.now();
  const owed = new OwedThaw(thaw, watchdog);
  try {
    const fileSystems = await agent.freeze(uuid, mountpoints);
    tell({ type: 'frozen', fileSystems });
  } catch (error) {
    const answers = await afterFailedFreeze(error, performance.now() - since, owed, tell);
    await begin();
    return { frozen: false, answers };
  }
  try {
    await begin();
  } finally {
    await owed.settle();
  }
  tell({ type: 'thawed', frozenMs: Math.round(performance.now() - since) });
  if (owed.late)
    tell({ type: 'warning', message: `the guest was thawed after ${MAX_FROZEN_MS} ms, before the job had begun` });
  return { frozen: !owed.late, answers: true };
}

/** A freeze that fails half-way may have frozen some file systems: a thaw does no harm where nothing is frozen. */
async function afterFailedFreeze(
  error: unknown,
  elapsedMs: number,
  owed: OwedThaw,
  tell: BackupListener,
): Promise<boolean> {
  const why = error instanceof Error ? error.message : String(error);
  tell({ type: 'warning', message: `the guest's file systems are not frozen: ${why}` });
  const code = error instanceof LibvirtError ? error.code : '';
  if (wasNotSent(code, elapsedMs)) await owed.drop();
  else
    await owed.settle(1).catch(() => {
      tell({
        type: 'warning',
        message:
          'the guest does not answer; should it freeze its file systems when it goes on, a watchdog thaws them, for ten ' +
          'minutes; later: virsh domfsthaw',
      });
    });
  return code === 'AGENT_COMMAND_FAILED' || code === 'INTERNAL_ERROR';
}

/**
 * Whether the guest has never heard of the freeze. libvirt first asks the agent whether it listens, which it gives 5
 * seconds; up to 9.0 it then says the same of an agent that does not listen and of one that does not answer the command.
 */
function wasNotSent(code: string, elapsedMs: number): boolean {
  if (code === 'ARGUMENT_UNSUPPORTED' || code === 'OPERATION_INVALID') return true;
  return code === 'AGENT_UNRESPONSIVE' && elapsedMs < AGENT_TIMEOUT_S * 900;
}

/**
 * The one thaw that a freeze makes due, or resume that a pause does: when it is asked for, and by itself after
 * {@link MAX_FROZEN_MS}.
 */
export class OwedThaw {
  readonly #thaw: () => Promise<unknown>;
  readonly #watchdog: Watchdog;
  readonly #timer: NodeJS.Timeout;
  #late = false;
  #settled: Promise<void> | undefined;

  constructor(thaw: () => Promise<unknown>, watchdog: Watchdog) {
    this.#thaw = thaw;
    this.#watchdog = watchdog;
    this.#timer = setTimeout(() => {
      this.#late = true;
      this.settle().catch(() => undefined);
    }, MAX_FROZEN_MS);
  }

  /** The time was over before anybody asked for it. */
  get late(): boolean {
    return this.#late;
  }

  /** Nothing is frozen. */
  drop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#settled ??= this.#watchdog.disarm();
    return this.#settled;
  }

  /** Thaws, once; the watchdog goes on trying when that fails. */
  settle(attempts = THAW_ATTEMPTS): Promise<void> {
    clearTimeout(this.#timer);
    this.#settled ??= this.#thawPersistently(attempts);
    return this.#settled;
  }

  async #thawPersistently(attempts: number): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#thaw();
        break;
      } catch (error) {
        if (attempt < attempts) continue;
        await this.#watchdog.handOver();
        throw error;
      }
    }
    await this.#watchdog.disarm();
  }
}
