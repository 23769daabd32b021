import { setTimeout as sleep } from 'node:timers/promises';
import type { Host, RunningProgram } from '@virtnbd/host';
import { RecoveryError } from '../errors.ts';
import { libguestfsFailure } from '../files/libguestfs-failure.ts';
import { guestfsUri } from '../serve/guestfs-uri.ts';
import type { MountChoice } from './choose-volume.ts';
import type { MountOptions } from './loop-mount.ts';
import { mountTable } from './mount-table.ts';
import { placesIn } from './traces.ts';

/** Milliseconds between two looks, and for all of them: libguestfs starts a small VM, slowly where there is no KVM. */
const LOOK_MS = 200;
const PATIENCE_MS = 5 * 60_000;

/**
 * libguestfs mounts, in a VM of its own, and shows the files through FUSE: without root, and volume groups are activated in
 * there. A journal is replayed into an overlay of its own.
 *
 * @returns guestmount, which shows the files as long as it runs
 */
export async function mountByGuestmount(
  host: Host,
  choice: MountChoice,
  { uri, folder, target, signal }: MountOptions,
): Promise<RunningProgram> {
  const args = ['--ro', '--format=raw', '--add', guestfsUri(uri), '--mount', deviceOf(choice), '--no-fork', target];
  const { guestfs } = placesIn(folder);
  await host.files.makeFolder(guestfs);
  const guestmount = await host.start('guestmount', args, { env: { LIBGUESTFS_TMPDIR: guestfs } });
  let ended = false;
  guestmount.exited.then(() => {
    ended = true;
  });
  try {
    for (const start = performance.now(); performance.now() - start < PATIENCE_MS; await sleep(LOOK_MS)) {
      signal?.throwIfAborted();
      if (ended) break;
      if ((await mountTable(host)).some((entry) => entry.target === target)) return guestmount;
    }
    const why = libguestfsFailure(guestmount.stderr());
    throw new RecoveryError('ENDED', `guestmount does not mount ${deviceOf(choice)}: ${why}`);
  } catch (error) {
    await guestmount.stop();
    throw error;
  }
}

/** As the disk is called in libguestfs: it is the only one there. */
function deviceOf(choice: MountChoice): string {
  if (choice.kind === 'logical-volume') return choice.device;
  const { partition } = choice.volume;
  return partition === null ? '/dev/sda' : `/dev/sda${partition.number}`;
}
