import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { LibvirtError } from '@virtnbd/libvirt-ops';
import type { BootedVm } from './booted-vm.ts';

export interface SignOptions {
  /** `agent`: its guest agent answers; `screen`: its screen changed, and then showed nothing new. */
  readonly sign: 'agent' | 'screen';
  readonly timeoutMs: number;
  /** How long a screen has to show nothing new; 20 s unless told. */
  readonly stillMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface SignOfLife {
  readonly alive: boolean;
  /** A sentence. */
  readonly message: string;
}

/** Milliseconds between two looks; seconds that the daemon waits for an agent that is there and does not answer. */
const PAUSE = 1_000;
const AGENT_TIMEOUT = 5;
const STILL = 20_000;

/** Waits until the VM shows that its guest is up, has ended, or the time is over. @throws the signal's reason */
export async function awaitSignOfLife(vm: BootedVm, options: SignOptions): Promise<SignOfLife> {
  const { sign, timeoutMs, signal } = options;
  const look = sign === 'agent' ? agentLook(vm) : screenLook(vm, options.stillMs ?? STILL);
  const end = performance.now() + timeoutMs;
  for (;;) {
    signal?.throwIfAborted();
    const domain = await vm.hypervisor.lookup(vm.uuid);
    if (domain === null || !domain.active) return { alive: false, message: 'The VM ended by itself.' };
    if (domain.state === 'crashed') return { alive: false, message: 'The guest crashed.' };
    if (domain.state === 'paused') return { alive: false, message: 'The VM was stopped by an error of its disks.' };
    const seen = await look();
    if (seen !== null) return { alive: true, message: seen };
    if (performance.now() > end) return { alive: false, message: missing(sign, timeoutMs) };
    await sleep(PAUSE, undefined, signal === undefined ? {} : { signal }).catch(() => signal?.throwIfAborted());
  }
}

function missing(sign: SignOptions['sign'], timeoutMs: number): string {
  const what = sign === 'agent' ? 'The guest agent did not answer' : 'The screen did not come to rest';
  return `${what} within ${Math.round(timeoutMs / 1000)} s.`;
}

/** What says that the guest is up; null as long as nothing does. */
type Look = () => Promise<string | null>;

function agentLook({ hypervisor, uuid }: BootedVm): Look {
  let limited = false;
  return async () => {
    const libvirt = await hypervisor.connection();
    if (!limited) await libvirt.setAgentTimeout(uuid, AGENT_TIMEOUT);
    limited = true;
    try {
      await libvirt.guestTime(uuid);
      return 'The guest agent answered.';
    } catch (error) {
      if (isPassing(error)) return null;
      throw error;
    }
  };
}

/** What libvirt says of an agent or a screen that is not there yet, and of a domain that ends meanwhile. */
function isPassing(error: unknown): boolean {
  const codes = [
    'AGENT_UNRESPONSIVE',
    'OPERATION_INVALID',
    'OPERATION_TIMEOUT',
    'NO_DOMAIN',
    'INTERNAL_ERROR',
    'OPERATION_FAILED',
  ];
  return error instanceof LibvirtError && codes.includes(error.code);
}

function screenLook({ hypervisor, uuid }: BootedVm, stillMs: number): Look {
  // A cursor that blinks brings the same few pictures again and again: only one that was never shown is a change.
  const shown = new Set<string>();
  let since = performance.now();
  return async () => {
    const picture = await hypervisor
      .ask((libvirt) => libvirt.screenshot(uuid))
      .catch((error: unknown) => {
        if (isPassing(error)) return null;
        throw error;
      });
    if (picture === null) return null;
    const digest = createHash('sha256').update(picture.data).digest('hex');
    if (!shown.has(digest)) {
      shown.add(digest);
      since = performance.now();
      return null;
    }
    const still = performance.now() - since;
    return shown.size > 1 && still >= stillMs ? `The screen stood still for ${Math.round(still / 1000)} s.` : null;
  };
}
