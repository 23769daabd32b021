import { readFileSync } from 'node:fs';
import { chown, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { TestKitError } from './errors.ts';

export interface Identity {
  readonly uid: number;
  readonly gid: number;
  /** True when the kit runs as root and lets libvirt and qemu run as `nobody`. */
  readonly dropped: boolean;
}

/**
 * Whom the daemon and its qemu processes run as. Root's `qemu:///session` is the machine's system daemon, so root drops to
 * `nobody`; libvirt wants a uid that has a passwd entry.
 */
export function daemonIdentity(): Identity {
  const uid = process.getuid?.() ?? -1;
  const gid = process.getgid?.() ?? -1;
  if (uid !== 0) return { uid, gid, dropped: false };
  const entry = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .find((fields) => fields[0] === 'nobody');
  if (entry === undefined) {
    throw new TestKitError(
      'DAEMON',
      'As root the kit runs libvirt as the user nobody, which /etc/passwd does not know',
    );
  }
  return { uid: Number(entry[2]), gid: Number(entry[3]), dropped: true };
}

/** Gives files or folders to the user that the daemon runs as; nothing to do for an ordinary user. */
export async function giveToDaemon(...paths: readonly string[]): Promise<void> {
  const { uid, gid, dropped } = daemonIdentity();
  if (!dropped) return;
  for (const path of paths) await chown(path, uid, gid);
}

/** True when the daemon's user may walk down to the folder. */
export async function reachableByDaemon(folder: string): Promise<boolean> {
  const { uid, dropped } = daemonIdentity();
  if (!dropped) return true;
  for (let path = resolve(folder); ; path = dirname(path)) {
    const info = await stat(path).catch(() => null);
    if (info === null || !info.isDirectory()) return false;
    if ((info.mode & (info.uid === uid ? 0o100 : 0o001)) === 0) return false;
    if (path === '/') return true;
  }
}
