import { setTimeout as sleep } from 'node:timers/promises';
import type { Host, RunningProgram } from '@virtnbd/host';
import { RecoveryError } from '../errors.ts';
import type { Volume } from '../volumes/layout.ts';
import { placesIn } from './traces.ts';

export interface MountOptions {
  readonly uri: string;
  /** The private folder. */
  readonly folder: string;
  readonly target: string;
  /** Nothing may be written, not even to an overlay: a journal is not replayed then. */
  readonly readOnly: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Milliseconds between two looks, and for all of them. */
const LOOK_MS = 10;
const PATIENCE_MS = 30_000;

/**
 * nbdfuse shows the export as a file, a loop device makes a disk of it, and the kernel mounts that read-only. The loop device
 * itself is writable where there is an overlay: so the kernel can replay a journal into it.
 *
 * @returns nbdfuse, which serves the file as long as it runs
 */
export async function mountByLoop(host: Host, volume: Volume, options: MountOptions): Promise<RunningProgram> {
  const { uri, folder, target, readOnly, signal } = options;
  const places = placesIn(folder);
  await host.files.makeFolder(places.fuse);
  const flags = ['-P', places.ready, ...(readOnly ? ['-r'] : [])];
  const nbdfuse = await host.start('nbdfuse', [...flags, places.disk, uri]);
  try {
    await untilReady(host, nbdfuse, places.ready, signal);
    const range = ['--offset', String(volume.start), '--sizelimit', String(volume.length)];
    const loopFlags = ['--find', '--show', ...(readOnly ? ['--read-only'] : []), ...range];
    const { stdout } = await host.run('losetup', [...loopFlags, places.disk], { signal });
    const device = stdout.trim();
    await host.run('mount', [...mountArguments(volume, readOnly), device, target], { signal });
    // From now on it goes by itself when it is unmounted, by whoever does so.
    await host.run('losetup', ['--detach', device]);
    return nbdfuse;
  } catch (error) {
    await nbdfuse.stop();
    throw error;
  }
}

/** The pid file is written when the file is there. */
async function untilReady(host: Host, nbdfuse: RunningProgram, ready: string, signal?: AbortSignal): Promise<void> {
  let ended = false;
  nbdfuse.exited.then(() => {
    ended = true;
  });
  for (const start = performance.now(); performance.now() - start < PATIENCE_MS; await sleep(LOOK_MS)) {
    signal?.throwIfAborted();
    if (((await host.files.stat(ready))?.size ?? 0) > 0) return;
    if (ended) break;
  }
  throw new RecoveryError('ENDED', `nbdfuse does not show the disk: ${nbdfuse.stderr().trim() || 'it said nothing'}`);
}

/** The kernel's driver by our own look at the bytes; what comes from a guest is neither run with privileges nor a device. */
function mountArguments({ content: { type } }: Volume, readOnly: boolean): string[] {
  const driver = /^ext[23]$/.test(type) ? 'ext4' : type;
  const options = ['ro', 'nodev', 'nosuid'];
  // The same file system may be mounted already: that of the VM itself, or another point's.
  if (type === 'xfs') options.push('nouuid');
  if (readOnly && driver === 'ext4') options.push('noload');
  if (readOnly && type === 'xfs') options.push('norecovery');
  if (readOnly && type === 'btrfs') options.push('rescue=nologreplay');
  return ['-t', driver, '-o', options.join(',')];
}
