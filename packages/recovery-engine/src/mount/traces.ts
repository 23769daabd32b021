import { basename, join } from 'node:path';
import type { Host } from '@virtnbd/host';
import { RecoveryError } from '../errors.ts';
import { loopDevices, type MountEntry, mountTable } from './mount-table.ts';

/** What a mapping may leave on this machine, known before any of it is made. */
export interface Traces {
  /** A private folder for the socket and the FUSE file. */
  readonly folder: string;
  /** Where files are mounted, as the kernel writes the path; null when nothing is. */
  readonly target: string | null;
  /** Whether the mapping made the target. */
  readonly madeTarget: boolean;
  readonly root: boolean;
}

/** The places in the private folder. */
export function placesIn(folder: string): Record<'socket' | 'fuse' | 'disk' | 'ready' | 'guestfs', string> {
  const fuse = join(folder, 'fuse');
  // A name like no other: of a loop device whose file has gone with nbdfuse, the kernel remembers no more than that.
  const disk = join(fuse, basename(folder));
  return {
    socket: join(folder, 'nbd.sock'),
    fuse,
    disk,
    ready: join(folder, 'fuse.pid'),
    guestfs: join(folder, 'guestfs'),
  };
}

/**
 * Takes away whatever of these traces is there, by what the kernel says and not by what anybody remembers: so it works in
 * the process that made them and in another one after that has died, and a second time, too.
 *
 * @throws RecoveryError `LEFTOVER` with what is still there
 */
export async function removeTraces(host: Host, traces: Traces): Promise<void> {
  const { folder, target, madeTarget } = traces;
  const places = placesIn(folder);
  const problems: string[] = [];
  const attempt = async (work: () => Promise<unknown>): Promise<void> => {
    await work().catch((error: unknown) => problems.push(error instanceof Error ? error.message : String(error)));
  };
  if (target !== null) await attempt(() => unmountTarget(host, traces, target));
  if (traces.root && target !== null) await attempt(() => detachLoops(host, folder));
  await attempt(() => unmountAll(host, traces, (entry) => entry.target === places.fuse));
  for (const file of [places.socket, places.ready]) await attempt(() => host.files.remove(file));
  // libguestfs removes its files itself, unless it is killed.
  await attempt(() => host.files.removeFolder(places.guestfs, { recursive: true }));
  for (const each of [places.fuse, folder]) await attempt(() => host.files.removeFolder(each));
  if (madeTarget && target !== null) await attempt(() => host.files.removeFolder(target));
  if (problems.length === 0) return;
  throw new RecoveryError('LEFTOVER', `Not everything could be taken away: ${problems.join('; ')}`);
}

/** Of what is mounted at the target only what is ours: a loop device on our file, or a FUSE file system. */
async function unmountTarget(host: Host, traces: Traces, target: string): Promise<void> {
  const loops = traces.root ? await loopDevices(host) : [];
  const ours = new Set(loops.filter(({ file }) => isDiskOf(traces.folder, file)).map(({ device }) => device));
  await unmountAll(
    host,
    traces,
    (entry) => entry.target === target && (ours.has(entry.source) || entry.type.startsWith('fuse')),
  );
}

async function unmountAll(host: Host, { root }: Traces, which: (entry: MountEntry) => boolean): Promise<void> {
  for (const entry of (await mountTable(host)).filter(which).reverse()) {
    const [program, args] = root ? (['umount', []] as const) : (['fusermount3', ['-u']] as const);
    const lazily = root ? '--lazy' : '-z';
    // Somebody's shell may stand in it: then it vanishes from the tree at once, and ends with that shell.
    await host
      .run(program, [...args, entry.target])
      .catch(() => host.run(program, [...args, lazily, entry.target]))
      .catch(async (error: unknown) => {
        // It may have gone meanwhile: nbdfuse unmounts when it ends.
        if ((await mountTable(host)).some(({ target }) => target === entry.target)) throw error;
      });
  }
}

/** Most are gone with what was mounted on them; those of a run that died before it had mounted are not. */
async function detachLoops(host: Host, folder: string): Promise<void> {
  for (const { device } of (await loopDevices(host)).filter(({ file }) => isDiskOf(folder, file))) {
    await host.run('losetup', ['--detach', device]).catch(async (error: unknown) => {
      if ((await loopDevices(host)).some((loop) => loop.device === device && isDiskOf(folder, loop.file))) throw error;
    });
  }
}

function isDiskOf(folder: string, file: string): boolean {
  return basename(file.replace(/ \(deleted\)$/, '')) === basename(folder);
}
