import { type Host, HostError } from '@virtnbd/host';
import { RecoveryError } from '../errors.ts';
import type { MountChoice } from './choose-volume.ts';

/** `loop`: nbdfuse shows the disk as a file, which the kernel mounts; `guestmount`: libguestfs does all, without root. */
export type MountWay = 'loop' | 'guestmount';

/** What this machine has. */
export interface MountTools {
  readonly root: boolean;
  readonly fuse: boolean;
  readonly loop: boolean;
  readonly nbdfuse: boolean;
  readonly guestmount: boolean;
}

export async function findMountTools(host: Host, root: boolean): Promise<MountTools> {
  const exists = async (path: string) => (await host.files.stat(path).catch(() => null)) !== null;
  const [fuse, loop, nbdfuse, guestmount] = await Promise.all([
    exists('/dev/fuse'),
    exists('/dev/loop-control'),
    isInstalled(host, 'nbdfuse'),
    isInstalled(host, 'guestmount'),
  ]);
  return { root, fuse, loop, nbdfuse, guestmount };
}

async function isInstalled(host: Host, program: string): Promise<boolean> {
  try {
    await host.run(program, ['--version']);
    return true;
  } catch (error) {
    if (error instanceof HostError && error.code === 'PROGRAM_MISSING') return false;
    throw error;
  }
}

const NBDFUSE = 'nbdfuse is not installed (Debian: apt-get install libnbd-bin; Fedora: dnf install nbdfuse)';
const GUESTMOUNT =
  'guestmount is not installed (Debian: apt-get install guestmount; Fedora: dnf install guestfs-tools)';

/**
 * How to mount: by the kernel where root can, which is quick; else by guestmount. A logical volume always by guestmount:
 * volume groups are never activated on this host, where their names may be taken.
 *
 * @throws RecoveryError `MISSING_TOOL`, which says all that is missing
 */
export function chooseWay(choice: MountChoice, tools: MountTools): MountWay {
  const forLoop = [
    choice.kind === 'logical-volume' && 'a logical volume is reached through guestmount only',
    !tools.root && 'you are not root',
    !tools.nbdfuse && NBDFUSE,
    !tools.loop && 'the kernel has no loop devices (modprobe loop)',
  ].filter((reason) => reason !== false);
  if (!tools.fuse) throw missing(['the kernel has no FUSE here: there is no /dev/fuse (modprobe fuse)']);
  if (forLoop.length === 0) return 'loop';
  if (tools.guestmount) return 'guestmount';
  throw missing([...forLoop, GUESTMOUNT]);
}

function missing(reasons: readonly string[]): RecoveryError {
  return new RecoveryError('MISSING_TOOL', `Cannot mount: ${reasons.join('; ')}.`);
}
