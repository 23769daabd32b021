import { LocalHost, linesOf } from '@virtnbd/host';
import { LibvirtConnection, LibvirtError } from '@virtnbd/libvirt-ops';
import { isWatchdogOrder, type WatchdogOrder } from './watchdog-order.ts';

/**
 * A program of its own: `node boot-watchdog.js ORDER`, in JSON. It hears `"done"` when all was cleaned up. Where its input ends
 * without that word, the process that gave the order was killed: the VM has lost its disks, and is ended here. The order is an
 * argument so that it has it from its first moment.
 */
async function watch(text: string): Promise<void> {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
  // Who is killed in the moment that it starts does not hear that it is ready.
  process.stdout.on('error', () => undefined);
  const order: unknown = JSON.parse(text);
  if (!isWatchdogOrder(order)) throw new Error('this is no order');
  process.stdout.write('ready\n');
  for await (const line of linesOf(process.stdin)) if (line === '"done"') return;
  await cleanUp(order);
}

async function cleanUp({ uri, uuid, folder, images }: WatchdogOrder): Promise<void> {
  const { files } = new LocalHost();
  const persists = await endVm(uri, uuid).catch(() => false);
  if (!persists) for (const image of images) await files.remove(image).catch(() => undefined);
  await files.removeFolder(folder, { recursive: true });
}

/** @returns whether it was defined meanwhile, and so was not ended */
async function endVm(uri: string, uuid: string): Promise<boolean> {
  await using libvirt = await LibvirtConnection.open(uri);
  try {
    const { persistent } = await libvirt.lookup(uuid);
    if (!persistent) await libvirt.destroy(uuid);
    return persistent;
  } catch (error) {
    if (error instanceof LibvirtError && error.code === 'NO_DOMAIN') return false;
    throw error;
  }
}

const [, , order = ''] = process.argv;
await watch(order);
process.exit();
