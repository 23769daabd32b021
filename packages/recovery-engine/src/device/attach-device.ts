import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from '@virtnbd/host';
import { RecoveryError } from '../errors.ts';
import { isFree } from './nbd-devices.ts';

/** Milliseconds between two looks, and for all of them. */
const LOOK_MS = 20;
const PATIENCE_MS = 30_000;

export interface DeviceOptions {
  readonly uri: string;
  /** `/dev/nbd0` */
  readonly device: string;
  readonly readOnly: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** A device of the kernel that shows a disk. */
export interface AttachedDevice {
  readonly device: string;
  /** Resolves when somebody has disconnected the device (`qemu-nbd -d`); rejects with RecoveryError `ENDED`. */
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

/** How qemu-nbd is told to stand between our server and the kernel. */
export function connectArguments({ uri, device, readOnly }: DeviceOptions): string[] {
  return [`--connect=${device}`, '--format=raw', '--discard=unmap', ...(readOnly ? ['--read-only'] : []), uri];
}

/**
 * Shows an export as a block device. qemu-nbd stays as long as it does: its end, by our hand or with us, disconnects.
 *
 * @throws RecoveryError `ENDED` with what qemu-nbd says
 */
export async function attachDevice(
  host: Host,
  options: DeviceOptions,
  blockDevices = '/sys/block',
): Promise<AttachedDevice> {
  const { device, signal } = options;
  const program = await host.start('qemu-nbd', connectArguments(options));
  let over = false;
  const ended = program.exited.then(({ code, stopped, signal: by }) => {
    over = true;
    if (stopped || code === 0) return;
    const how = by === null ? `exit code ${code}` : `by ${by}`;
    throw new RecoveryError('ENDED', `qemu-nbd has ended (${how}): ${program.stderr().trim() || 'it said nothing'}`);
  });
  ended.catch(() => undefined);
  const free = () => isFree(host, blockDevices, basename(device));
  try {
    for (const start = performance.now(); await free(); await sleep(LOOK_MS)) {
      signal?.throwIfAborted();
      if (over) await ended;
      if (performance.now() - start > PATIENCE_MS) {
        throw new RecoveryError('ENDED', `qemu-nbd does not connect ${device}: ${program.stderr().trim()}`);
      }
    }
  } catch (error) {
    await program.stop();
    throw error;
  }
  return { device, ended, stop: () => program.stop() };
}
