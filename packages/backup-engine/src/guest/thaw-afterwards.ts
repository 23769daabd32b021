import { type AgentState, type AgentTimeoutControl, withAgentTimeout } from './agent-timeout.ts';
import type { GuestAgent } from './frozen.ts';

/**
 * Thaws a guest that an interrupted run may have left frozen whose watchdog was killed with it; nothing happens to one
 * that is not.
 */
export async function thawAfterwards(
  agent: Pick<GuestAgent, 'thaw'> & AgentTimeoutControl,
  uuid: string,
  before: Pick<AgentState, 'timeout'>,
): Promise<void> {
  await withAgentTimeout(agent, uuid, before, () => agent.thaw(uuid)).catch(() => undefined);
}
