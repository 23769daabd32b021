import type { DomainIdentity } from '@virtnbd/backup-set';
import type { Host } from '@virtnbd/host';

/** The setting of libvirt's wait for the guest agent. */
export interface AgentTimeoutControl {
  setAgentTimeout(uuid: string, seconds: number): Promise<void>;
}

/** Seconds that the agent has for an answer: libvirt's own setting is to wait for ever for one that hangs. */
export const AGENT_TIMEOUT_S = 10;
/** libvirt's own setting, no limit. */
export const NO_LIMIT = -2;
/** A running domain's status file has some 10 KiB. */
const MAX_STATUS_BYTES = 4 << 20;

/** What is known of the guest's agent before a run talks to it. */
export interface AgentState {
  /** false when the VM has no channel for an agent, or nothing in the guest has opened it. */
  readonly reachable: boolean;
  /** Seconds that libvirt waited for the agent before the run, in libvirt's numbers; null when that cannot be known. */
  readonly timeout: number | null;
}

/**
 * Runs `work` while libvirt waits for the agent for {@link AGENT_TIMEOUT_S} at most, and gives it its setting back. One
 * that cannot be known becomes libvirt's own.
 */
export async function withAgentTimeout<T>(
  agent: AgentTimeoutControl,
  uuid: string,
  before: Pick<AgentState, 'timeout'>,
  work: () => Promise<T>,
): Promise<T> {
  // Where there is no agent, the work says so.
  await agent.setAgentTimeout(uuid, AGENT_TIMEOUT_S).catch(() => undefined);
  try {
    return await work();
  } finally {
    await agent.setAgentTimeout(uuid, before.timeout ?? NO_LIMIT).catch(() => undefined);
  }
}

/**
 * The setting as libvirt has it, which no call tells: it stands in the daemon's status file of the domain. null when
 * that cannot be read.
 */
export async function readAgentTimeout(
  hypervisor: Host,
  { name, uuid }: DomainIdentity,
  env: NodeJS.ProcessEnv,
): Promise<number | null> {
  const ofUser = env.XDG_RUNTIME_DIR ? [`${env.XDG_RUNTIME_DIR}/libvirt/qemu/run`] : [];
  for (const folder of ['/run/libvirt/qemu', ...ofUser]) {
    const bytes = await hypervisor.files.readSmall(`${folder}/${name}.xml`, MAX_STATUS_BYTES).catch(() => null);
    const text = bytes === null ? '' : Buffer.from(bytes).toString('utf8');
    // Another libvirt's domain may have the same name.
    if (!text.includes(`<uuid>${uuid}</uuid>`)) continue;
    const seconds = /<agentTimeout>(-?\d{1,9})<\/agentTimeout>/.exec(text)?.[1];
    if (seconds !== undefined) return Number(seconds);
  }
  return null;
}
