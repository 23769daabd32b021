import { join } from 'node:path';
import type { Host } from '@virtnbd/host';
import { RecoveryError } from '../errors.ts';

/** Where the kernel shows its block devices. */
const BLOCK_DEVICES = '/sys/block';

/**
 * A free NBD device of the kernel.
 *
 * @param wanted `/dev/nbd3`, or `auto` for the first that is free
 * @throws RecoveryError `MISSING_TOOL` where the kernel has no such device; `TARGET` where it is in use
 */
export async function chooseDevice(host: Host, wanted: string, blockDevices = BLOCK_DEVICES): Promise<string> {
  const names = await nbdDevices(host, blockDevices);
  if (names.length === 0) {
    throw new RecoveryError(
      'MISSING_TOOL',
      'The kernel has no NBD devices: load the module (modprobe nbd max_part=15), or do without: --socket, --listen and --mount need none.',
    );
  }
  if (wanted === 'auto') {
    for (const name of names) if (await isFree(host, blockDevices, name)) return `/dev/${name}`;
    throw new RecoveryError('TARGET', `All NBD devices are in use: ${names.join(', ')}. End one of their users.`);
  }
  const name = /^\/dev\/(nbd\d+)$/.exec(wanted)?.[1];
  if (name === undefined || !names.includes(name)) {
    const text = `${wanted} is no NBD device of the kernel; there are: ${names.join(', ')}.`;
    throw new RecoveryError('MISSING_TOOL', text);
  }
  if (await isFree(host, blockDevices, name)) return wanted;
  throw new RecoveryError('TARGET', `${wanted} is in use. Choose another device, or --device auto.`);
}

/** Whether the kernel could map to a device at all. */
export async function hasNbdDevices(host: Host, blockDevices = BLOCK_DEVICES): Promise<boolean> {
  return (await nbdDevices(host, blockDevices)).length > 0;
}

async function nbdDevices(host: Host, blockDevices: string): Promise<string[]> {
  const entries = await host.files.list(blockDevices).catch(() => []);
  const numbers = entries.flatMap(({ name }) => /^nbd(\d+)$/.exec(name)?.[1] ?? []);
  return numbers.sort((a, b) => Number(a) - Number(b)).map((number) => `nbd${number}`);
}

/** The kernel shows the process that serves a device as long as one does. */
export async function isFree(host: Host, blockDevices: string, name: string): Promise<boolean> {
  return (await host.files.stat(join(blockDevices, name, 'pid'))) === null;
}
