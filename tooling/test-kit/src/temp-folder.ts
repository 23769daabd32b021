import { randomBytes } from 'node:crypto';
import { chmod, mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { TestKitError } from './errors.ts';
import { giveToDaemon, reachableByDaemon } from './identity.ts';

export interface TempFolder extends AsyncDisposable {
  readonly path: string;
  remove(): Promise<void>;
}

/** Leaves room for libvirt's own names below it: a unix socket's path has at most 107 bytes. */
const LONGEST_BASE = 40;

/**
 * A new folder under TMPDIR, else /var/tmp or /tmp: the first that is short enough for sockets and that the daemon's user
 * can reach. As root it belongs to that user (root can write there anyway), so that both sides can use it.
 */
export async function tempFolder(prefix = 'vn-'): Promise<TempFolder> {
  const bases = [process.env.TMPDIR, '/var/tmp', '/tmp'];
  for (const base of bases) {
    if (base === undefined || base === '' || Buffer.byteLength(base) > LONGEST_BASE) continue;
    if (!(await reachableByDaemon(base))) continue;
    const path = join(base, `${prefix}${randomBytes(4).toString('hex')}`);
    try {
      await mkdir(path, { mode: 0o755 });
    } catch {
      continue; // this base cannot be written
    }
    await chmod(path, 0o755); // whatever the umask
    await giveToDaemon(path);
    return makeTempFolder(path);
  }
  throw new TestKitError('USAGE', 'No folder for temporary files: neither TMPDIR nor /var/tmp nor /tmp can be used');
}

function makeTempFolder(path: string): TempFolder {
  const remove = async (): Promise<void> => {
    await rm(path, { recursive: true, force: true, maxRetries: 5 });
    if (await stat(path).catch(() => null)) throw new TestKitError('LEFTOVER', `${path} cannot be removed`);
  };
  return { path, remove, [Symbol.asyncDispose]: remove };
}
