import type { BackupListener } from './events.ts';

/** How long the guest's file systems may stay frozen, milliseconds. Beginning a job takes a fraction of it. */
export const MAX_FROZEN_MS = 10_000;

/** How long libvirt may wait for an answer of the agent, seconds: it would wait for ever for one that hangs. */
const AGENT_TIMEOUT_S = 30;
/** libvirt's own setting, no limit, to which the VM goes back. */
const NO_TIMEOUT = -2;

/** The guest agent's part of a libvirt connection. */
export interface GuestAgent {
  freeze(uuid: string, mountpoints?: readonly string[]): Promise<number>;
  thaw(uuid: string): Promise<number>;
  setAgentTimeout(uuid: string, seconds: number): Promise<void>;
}

/**
 * Runs `begin` while the guest's file systems are frozen, and thaws them whatever happens: when it is done, when it
 * fails, and at the latest after {@link MAX_FROZEN_MS}. Without an agent that answers, `begin` runs all the same, with
 * a warning: the backup is then what a power cut would leave.
 *
 * @param agent freezes; @param second another connection, which can thaw while `begin` blocks the first
 * @returns whether the file systems were frozen all the time that `begin` took
 */
export async function whileFrozen(
  agent: GuestAgent,
  second: GuestAgent,
  uuid: string,
  begin: () => Promise<void>,
  options: { mountpoints?: readonly string[]; tell: BackupListener },
): Promise<boolean> {
  // Where there is no agent, freeze says so.
  await agent.setAgentTimeout(uuid, AGENT_TIMEOUT_S).catch(() => undefined);
  try {
    return await freezeAround(agent, second, uuid, begin, options);
  } finally {
    await agent.setAgentTimeout(uuid, NO_TIMEOUT).catch(() => undefined);
  }
}

/** Thaws a guest that a run may have left frozen which could not end in good order; nothing happens to one that is not. */
export async function thawAfterwards(agent: GuestAgent, uuid: string): Promise<void> {
  await agent.setAgentTimeout(uuid, AGENT_TIMEOUT_S).catch(() => undefined);
  await agent.thaw(uuid).catch(() => undefined);
  await agent.setAgentTimeout(uuid, NO_TIMEOUT).catch(() => undefined);
}

async function freezeAround(
  agent: GuestAgent,
  second: GuestAgent,
  uuid: string,
  begin: () => Promise<void>,
  { mountpoints, tell }: { mountpoints?: readonly string[]; tell: BackupListener },
): Promise<boolean> {
  try {
    const count = await agent.freeze(uuid, mountpoints);
    tell({ type: 'info', message: `froze ${count} file systems of the guest` });
  } catch (error) {
    // A freeze that fails half-way may have frozen some: thaw is harmless where nothing is.
    await second.thaw(uuid).catch(() => undefined);
    const why = error instanceof Error ? error.message : String(error);
    tell({ type: 'warning', message: `the guest's file systems are not frozen: ${why}` });
    await begin();
    return false;
  }
  const since = performance.now();
  let late = false;
  let thawing: Promise<void> | undefined;
  const thaw = (): Promise<void> => {
    thawing ??= thawPersistently(second, uuid);
    return thawing;
  };
  const timer = setTimeout(() => {
    late = true;
    thaw().catch(() => undefined);
  }, MAX_FROZEN_MS);
  try {
    await begin();
  } finally {
    clearTimeout(timer);
    await thaw();
  }
  tell({ type: 'info', message: `thawed the guest after ${Math.round(performance.now() - since)} ms` });
  if (late)
    tell({ type: 'warning', message: `the guest was thawed after ${MAX_FROZEN_MS} ms, before the job had begun` });
  return !late;
}

async function thawPersistently(agent: GuestAgent, uuid: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await agent.thaw(uuid);
      return;
    } catch (error) {
      if (attempt === 3) throw error;
    }
  }
}
