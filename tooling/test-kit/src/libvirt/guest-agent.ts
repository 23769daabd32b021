import { TestKitError } from '../errors.ts';
import { waitFor } from '../wait-for.ts';
import type { TestLibvirt } from './test-libvirt.ts';

export interface GuestResult {
  readonly stdout: string;
  readonly stderr: string;
}

/** The guest agent, through `virsh qemu-agent-command`. */
export class GuestAgent {
  private readonly libvirt: TestLibvirt;
  private readonly uuid: string;

  constructor(libvirt: TestLibvirt, uuid: string) {
    this.libvirt = libvirt;
    this.uuid = uuid;
  }

  async call(execute: string, args?: Readonly<Record<string, unknown>>): Promise<unknown> {
    const command = JSON.stringify(args === undefined ? { execute } : { execute, arguments: args });
    const text = await this.libvirt.virsh('qemu-agent-command', this.uuid, '--timeout', '20', command);
    return (JSON.parse(text) as { return: unknown }).return;
  }

  async waitUntilUp(options: { timeoutMs?: number } = {}): Promise<void> {
    await waitFor(
      () =>
        this.call('guest-ping').then(
          () => true,
          () => false,
        ),
      { timeoutMs: options.timeoutMs ?? 120_000, intervalMs: 200, what: 'The guest agent' },
    );
  }

  async exec(command: string): Promise<GuestResult> {
    const started = (await this.call('guest-exec', {
      path: '/bin/sh',
      arg: ['-c', command],
      'capture-output': true,
    })) as { pid: number };
    const ended = await waitFor(
      async () => {
        const status = (await this.call('guest-exec-status', { pid: started.pid })) as ExecStatus;
        return status.exited ? status : null;
      },
      { timeoutMs: 120_000, intervalMs: 50, what: `In the guest: ${command}` },
    );
    const stdout = decode(ended['out-data']);
    const stderr = decode(ended['err-data']);
    if (ended.exitcode !== 0) {
      const code = ended.exitcode ?? `signal ${ended.signal}`;
      throw new TestKitError('GUEST', `In the guest, ${command} ended with ${code}: ${stderr || stdout}`, {
        output: stderr + stdout,
      });
    }
    return { stdout, stderr };
  }

  async fsFrozen(): Promise<boolean> {
    return (await this.call('guest-fsfreeze-status')) === 'frozen';
  }
}

interface ExecStatus {
  readonly exited: boolean;
  readonly exitcode?: number;
  readonly signal?: number;
  readonly 'out-data'?: string;
  readonly 'err-data'?: string;
}

function decode(base64: string | undefined): string {
  return base64 === undefined ? '' : Buffer.from(base64, 'base64').toString();
}
