import { dirname } from 'node:path';
import { type Host, HostError } from '@virtnbd/host';

/** A user of the hypervisor's host, by its numbers. */
export interface UnixUser {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Why a user may not make files in a folder, as the end of a sentence; null when nothing is known to stand in the way.
 * The mode decides; where it speaks against, the user itself tries (as root, by setpriv), because an access list may
 * permit what the mode does not.
 */
export async function mayNot(host: Host, user: UnixUser, folder: string): Promise<string | null> {
  const problem = user.uid === 0 ? null : await problemByMode(host, user, folder);
  return problem === null || !(await failsAs(host, user, folder)) ? null : problem;
}

async function problemByMode(host: Host, user: UnixUser, folder: string): Promise<string | null> {
  for (let path = folder; ; path = dirname(path)) {
    const stat = await host.files.stat(path);
    if (stat === null) return `${path} is not there`;
    const bits = stat.uid === user.uid ? stat.mode >> 6 : stat.gid === user.gid ? stat.mode >> 3 : stat.mode;
    if (path === folder && (bits & 0o3) !== 0o3) return `it may not write there (mode ${octal(stat.mode)})`;
    if ((bits & 0o1) === 0) return `it may not enter ${path} (mode ${octal(stat.mode)})`;
    if (path === '/') return null;
  }
}

/** false also where it cannot be tried. */
async function failsAs(host: Host, { uid, gid }: UnixUser, folder: string): Promise<boolean> {
  const args = [`--reuid=${uid}`, `--regid=${gid}`, '--init-groups', 'test', '-w', folder, '-a', '-x', folder];
  try {
    await host.run('setpriv', args);
    return false;
  } catch (error) {
    // test says nothing; setpriv says why it could not run it.
    return error instanceof HostError && error.exitCode === 1 && error.stderr?.trim() === '';
  }
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0');
}
