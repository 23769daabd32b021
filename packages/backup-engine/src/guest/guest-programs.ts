import { setTimeout as sleep } from 'node:timers/promises';

/** The part of a libvirt connection that talks to the guest agent in its own protocol. */
export interface AgentCommands {
  agentCommand(uuid: string, command: string, seconds: number): Promise<string>;
}

/** How a program in the guest ended. */
export interface GuestProgramResult {
  /** null when it did not exit by itself. */
  readonly exitCode: number | null;
  readonly stdout: string;
}

/** Seconds that the agent may take for one answer. */
const ANSWER_S = 10;
/** Milliseconds between two questions whether the program has ended, and for the program in all. */
const POLL_MS = 200;
const PROGRAM_MS = 60_000;

/**
 * Runs a program in the guest by `guest-exec` (QEMU guest agent protocol), without a shell, and waits for its end.
 *
 * @returns null when it does not end within a minute: the agent has no command to end it
 * @throws LibvirtError when the agent refuses or does not answer
 */
export async function runInGuest(
  agent: AgentCommands,
  uuid: string,
  program: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<GuestProgramResult | null> {
  const call = async (execute: string, parameters: object): Promise<Answer> => {
    const command = JSON.stringify({ execute, arguments: parameters });
    const answer: unknown = JSON.parse(await agent.agentCommand(uuid, command, ANSWER_S));
    return isRecord(answer) && isRecord(answer.return) ? answer.return : {};
  };
  const { pid } = await call('guest-exec', { path: program, arg: args, 'capture-output': true });
  const deadline = performance.now() + PROGRAM_MS;
  while (performance.now() < deadline) {
    signal.throwIfAborted();
    const status = await call('guest-exec-status', { pid });
    if (status.exited === true) {
      const { exitcode } = status;
      const output = status['out-data'];
      return {
        exitCode: typeof exitcode === 'number' ? exitcode : null,
        stdout: typeof output === 'string' ? Buffer.from(output, 'base64').toString('utf8') : '',
      };
    }
    await sleep(POLL_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
  return null;
}

type Answer = Readonly<Record<string, unknown>>;

function isRecord(value: unknown): value is Answer {
  return typeof value === 'object' && value !== null;
}
