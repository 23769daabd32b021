/**
 * A program of its own: `node thaw-watchdog.js`. It thaws a guest, or lets a VM go on, when the run that froze or paused
 * it cannot: because it was killed, or because it hangs. It ends with the run otherwise, and leaves nothing.
 *
 * It speaks lines, one JSON value a line on its input, one word a line on its output:
 *
 *     {"watch": WatchOrder}  ▶  connects to libvirt and answers `ready`, or `failed: REASON` and ends
 *     "armed"                ▶  a freeze is about to be asked for: from now on the end of the input means a thaw
 *     "thawed"               ▶  the run has thawed the guest
 *     "owed"                 ▶  the run could not: the watchdog goes on, alone if need be
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { linesOf } from '@virtnbd/host';
import { LibvirtConnection, withoutUriParameter } from '@virtnbd/libvirt-ops';
import { AGENT_TIMEOUT_S } from './agent-timeout.ts';
import type { WatchOrder } from './watch-order.ts';

/** Milliseconds between two attempts, and for all of them: an agent that hangs may come back. */
const RETRY_MS = 1_000;
const PATIENCE_MS = 10 * 60_000;
/** Milliseconds for a libvirt that is not there: a restart takes seconds. */
const DAEMON_PATIENCE_MS = 60_000;
/** In good order twice: the daemon may read the freeze of a run that was killed only after the first thaw. */
const GOOD_ENDS = 2;

class ThawWatchdog {
  readonly #order: WatchOrder;
  #connection: LibvirtConnection;
  #deadline: NodeJS.Timeout | undefined;
  #thawing: Promise<void> | undefined;
  #owed = false;
  /** The run's pause is over: whoever pauses the VM from now on means it. */
  #resumed = false;
  #connectedAt = 0;
  #attempts = 0;

  private constructor(order: WatchOrder, connection: LibvirtConnection) {
    this.#order = order;
    this.#connection = connection;
  }

  static async start(order: WatchOrder): Promise<ThawWatchdog> {
    const connection = await LibvirtConnection.open(order.address.uri, connectOptions(order));
    await connection.lookup(order.uuid);
    return new ThawWatchdog(order, connection);
  }

  hear(word: unknown): void {
    if (word === 'armed') {
      this.#owed = true;
      this.#deadline = setTimeout(() => this.#thaw(), this.#order.deadlineMs);
    } else if (word === 'thawed') {
      this.#owed = false;
      clearTimeout(this.#deadline);
    } else if (word === 'owed') this.#thaw();
  }

  /** The run has let go of us, or has died. */
  async end(): Promise<void> {
    clearTimeout(this.#deadline);
    if (this.#owed) this.#thaw();
    await this.#thawing;
    await this.#connection.close();
  }

  #thaw(): void {
    this.#thawing ??= this.#thawPersistently();
  }

  async #thawPersistently(): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    this.#connectedAt = performance.now();
    for (let done = 0; done < GOOD_ENDS && performance.now() < end && !this.#daemonIsGone(); ) {
      done = (await this.#tryThaw()) ? done + 1 : 0;
      if (this.#resumed) return;
      await sleep(RETRY_MS);
    }
    if (this.#order.pause) return;
    await this.#connection.setAgentTimeout(this.#order.uuid, this.#order.agentTimeout).catch(() => undefined);
  }

  #daemonIsGone(): boolean {
    return performance.now() - this.#connectedAt > DAEMON_PATIENCE_MS;
  }

  /**
   * Over ssh the run names a program in ssh's place, which shares the run's connection and goes with it: in turns the URI is
   * tried without it, as ssh itself is set up.
   */
  #connectAgain(): Promise<LibvirtConnection> {
    this.#attempts += 1;
    const { uri } = this.#order.address;
    const tried = this.#attempts % 2 === 1 ? uri : withoutUriParameter(uri, 'command');
    return LibvirtConnection.open(tried, connectOptions(this.#order));
  }

  async #tryThaw(): Promise<boolean> {
    const { uuid } = this.#order;
    try {
      if (this.#connection.lost.aborted) this.#connection = await this.#connectAgain();
      const { active, state } = await this.#connection.lookup(uuid);
      this.#connectedAt = performance.now();
      if (!active) return true;
      if (this.#order.pause) {
        if (state !== 'paused') return true;
        await this.#connection.resume(uuid);
        this.#resumed = true;
        return true;
      }
      await this.#connection.setAgentTimeout(uuid, AGENT_TIMEOUT_S).catch(() => undefined);
      await this.#connection.thaw(uuid);
      return true;
    } catch {
      return false;
    }
  }
}

function connectOptions({ address }: WatchOrder): Parameters<typeof LibvirtConnection.open>[1] {
  return address.auth === undefined ? {} : { auth: address.auth };
}

let watchdog: ThawWatchdog | undefined;
// The terminal's end and Ctrl-C are the run's to answer; we end with our input.
for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined);
// Nobody may listen any more.
process.stdout.on('error', () => undefined);
for await (const line of linesOf(process.stdin)) {
  const message: { watch: WatchOrder } | string = JSON.parse(line);
  if (typeof message === 'string') {
    watchdog?.hear(message);
    continue;
  }
  try {
    watchdog = await ThawWatchdog.start(message.watch);
    process.stdout.write('ready\n');
  } catch (error) {
    process.stdout.write(`failed: ${error instanceof Error ? error.message : String(error)}\n`);
    break;
  }
}
await watchdog?.end();
process.exit();
