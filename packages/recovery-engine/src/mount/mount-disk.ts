import type { Host, RunningProgram } from '@virtnbd/host';
import { RecoveryError } from '../errors.ts';
import type { ReadableDisk } from '../volumes/byte-reader.ts';
import { readLayout } from '../volumes/layout.ts';
import { chooseVolume, describeVolume, type MountChoice } from './choose-volume.ts';
import { mountByGuestmount } from './guest-mount.ts';
import { mountByLoop } from './loop-mount.ts';
import { mountTable } from './mount-table.ts';
import { UnmountWatch } from './unmount-watch.ts';
import { chooseWay, findMountTools, type MountWay } from './ways.ts';

/** What is going to be mounted, and how. */
export interface MountPlan {
  readonly choice: MountChoice;
  readonly way: MountWay;
  readonly notes: readonly string[];
}

/** What is mounted. */
export interface MountedDisk {
  readonly way: MountWay;
  /** `partition 2, 511 MiB, ext4 "root"` */
  readonly description: string;
  /**
   * Resolves when somebody has unmounted the folder; rejects with RecoveryError `ENDED` when the program behind it has ended
   * otherwise.
   */
  readonly ended: Promise<void>;
  /** Ends the programs; what is mounted must have been unmounted before (removeTraces). */
  stop(): Promise<void>;
}

/**
 * Decides before anything is mounted.
 *
 * @param disk as it is at the point
 * @param partition number of a partition, or `GROUP/NAME` of a logical volume; needed when there are several
 * @throws RecoveryError `CHOOSE_PARTITION`, `UNKNOWN_PARTITION`, `MISSING_TOOL`, `DAMAGED`
 */
export async function planMount(
  host: Host,
  disk: ReadableDisk,
  { partition, root }: { partition?: string | undefined; root: boolean },
): Promise<MountPlan> {
  const layout = await readLayout(disk);
  const choice = chooseVolume(layout, partition);
  const way = chooseWay(choice, await findMountTools(host, root));
  return { choice, way, notes: layout.notes };
}

/**
 * The folder to mount on, as the kernel will write it; it is made where there is none.
 *
 * @throws RecoveryError `TARGET` where it is no empty folder, or something is mounted there
 */
export async function prepareTarget(host: Host, path: string): Promise<{ target: string; made: boolean }> {
  const made = (await host.files.stat(path)) === null;
  if (made) await host.files.makeFolder(path);
  try {
    const target = (await host.run('realpath', ['--', path])).stdout.replace(/\n$/, '');
    if ((await mountTable(host)).some((entry) => entry.target === target)) {
      throw new RecoveryError('TARGET', `Something is mounted at ${path} already. Choose another folder.`);
    }
    if ((await host.files.list(target)).length > 0) {
      throw new RecoveryError('TARGET', `${path} is not empty, and its files would be hidden. Choose an empty folder.`);
    }
    return { target, made };
  } catch (error) {
    if (made) await host.files.removeFolder(path).catch(() => undefined);
    throw error;
  }
}

/** Mounts. What it leaves when it rejects, removeTraces takes away. */
export async function mountDisk(
  host: Host,
  { choice, way }: MountPlan,
  options: {
    readonly uri: string;
    readonly folder: string;
    readonly target: string;
    readonly readOnly: boolean;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<MountedDisk> {
  const program =
    way === 'loop' && choice.kind === 'volume'
      ? await mountByLoop(host, choice.volume, options)
      : await mountByGuestmount(host, choice, options);
  const watch = new UnmountWatch(host, options.target);
  const description = choice.kind === 'volume' ? describeVolume(choice.volume) : `logical volume ${choice.device}`;
  const stop = async (): Promise<void> => {
    await watch.stop();
    await program.stop();
  };
  const ended = endOf(host, program, watch, options.target);
  // Who waits for it hears of it; who does not must not be ended by it.
  ended.catch(() => undefined);
  return { way, description, ended, stop };
}

async function endOf(host: Host, program: RunningProgram, watch: UnmountWatch, target: string): Promise<void> {
  const exit = await Promise.race([program.exited, watch.unmounted]);
  if (exit === undefined || exit.stopped) return;
  // guestmount ends by itself when its folder is unmounted.
  const stillThere = (await mountTable(host)).some((entry) => entry.target === target);
  if (!stillThere && exit.code === 0) return;
  const how = exit.signal === null ? `exit code ${exit.code}` : `by ${exit.signal}`;
  throw new RecoveryError('ENDED', `${program.program} has ended (${how}): ${target} is not to be used any more.`);
}
