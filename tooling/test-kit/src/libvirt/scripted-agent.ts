import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { waitFor } from '../wait-for.ts';
import type { TestVm } from './test-vm.ts';

/** A request of the QEMU guest agent's protocol. */
export interface AgentRequest {
  readonly execute: string;
  readonly arguments?: Readonly<Record<string, unknown>>;
}

/** The answer's `return`; an error for a command that the agent does not know; `silent` for none, as of one that hangs. */
export type AgentAnswer = { readonly return: unknown } | { readonly error: string } | 'silent';

const PORT = 'org.virtnbd.script.0';

/** For `createVm({ guest: true, xmlExtra })`: the channel by which a script outside answers for the guest's agent. */
export function scriptChannel(folder: string): { readonly xml: string; readonly path: string } {
  const path = join(folder, 'script.sock');
  const xml = `<channel type='unix'><source mode='bind' path='${path}'/><target type='virtio' name='${PORT}'/></channel>`;
  return { xml, path };
}

/**
 * In the guest: what comes by the agent's port goes to the script's and back, until the script lets go. A port reads as
 * ended while nobody is at its other end, as libvirt is not before it has seen the port open. The
 * port is not free at once when the agent is killed, and the agent may be back before.
 */
const RELAY = `
for port in /sys/class/virtio-ports/*; do
  case "$(cat $port/name)" in
    org.qemu.guest_agent.0) agent=/dev/\${port##*/} ;;
    ${PORT}) script=/dev/\${port##*/} ;;
  esac
done
sleep 0.5
until (
  kill -9 $(pidof qemu-ga)
  exec 3<>$agent 4<>$script
  while :; do cat <&3 >&4; sleep 0.1; done &
  cat <&4 >&3
  kill $!
  killall cat
  true
); do :; done
`;

/**
 * Answers in the place of the guest's agent, on the real virtio-serial channel, until it is closed; then the guest's own
 * agent comes back. So a test can be a Windows, or an agent that hangs.
 */
export class ScriptedAgent implements AsyncDisposable {
  /** All requests so far, but for libvirt's synchronisation. */
  readonly requests: AgentRequest[] = [];
  readonly #vm: TestVm;
  readonly #socket: Socket;
  readonly #answer: (request: AgentRequest) => AgentAnswer;
  #text = '';

  private constructor(vm: TestVm, socket: Socket, answer: (request: AgentRequest) => AgentAnswer) {
    this.#vm = vm;
    this.#socket = socket;
    this.#answer = answer;
    socket.on('error', () => undefined);
    socket.setEncoding('latin1').on('data', (text: string) => this.#hear(text));
  }

  static async start(vm: TestVm, path: string, answer: (request: AgentRequest) => AgentAnswer): Promise<ScriptedAgent> {
    const socket = createConnection(path);
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    const agent = new ScriptedAgent(vm, socket, answer);
    await vm.guestExec(`(${RELAY}) > /dev/null 2>&1 &`);
    // Until the script is asked, it is the guest's own agent that answers.
    const asked = async (): Promise<boolean> => {
      await vm.waitForAgent();
      return agent.requests.length > 0;
    };
    await waitFor(asked, { what: 'A request to the scripted agent' });
    agent.requests.length = 0;
    return agent;
  }

  /** Gives the channel back, and waits for the guest's own agent. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
    await this.#vm.waitForAgent();
  }

  /** One JSON value a line; 0xFF before one asks for 0xFF before the answer. */
  #hear(text: string): void {
    const lines = `${this.#text}${text}`.split('\n');
    this.#text = lines.pop() ?? '';
    for (const line of lines) {
      const request: AgentRequest = JSON.parse(line.replaceAll('\u00ff', ''));
      const isSync = request.execute.startsWith('guest-sync');
      const answer = isSync ? this.#sync(request) : this.#note(request);
      if (answer === 'silent') continue;
      const prefix = request.execute === 'guest-sync-delimited' ? '\u00ff' : '';
      const error = 'error' in answer ? { error: { class: 'CommandNotFound', desc: answer.error } } : answer;
      this.#socket.write(`${prefix}${JSON.stringify(error)}\n`, 'latin1');
    }
  }

  /** The script may keep silent about it, too. */
  #sync(request: AgentRequest): AgentAnswer {
    return this.#answer(request) === 'silent' ? 'silent' : { return: request.arguments?.id };
  }

  #note(request: AgentRequest): AgentAnswer {
    this.requests.push(request);
    const answer = this.#answer(request);
    return request.execute === 'guest-ping' && answer !== 'silent' ? { return: {} } : answer;
  }
}
