import { randomBytes } from 'node:crypto';
import { chmod, copyFile, mkdir, readdir, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { cacheFolder } from '../cache-folder.ts';
import { daemonIdentity, giveToDaemon } from '../identity.ts';

/*
 * A new libvirtd asks every QEMU for its abilities, which takes some seconds, and keeps the answers in its cache folder. The
 * answers of an earlier instance spare that: libvirt itself checks that they fit (program times, versions, uid, kernel).
 */

const RELATIVE = 'libvirt/qemu/cache/capabilities';

/** Before the daemon starts: puts earlier answers into its cache folder. */
export async function loadCapabilities(daemonCache: string): Promise<void> {
  const shared = await sharedFolder();
  const names = await readdir(shared).catch(() => []);
  let made = daemonCache;
  for (const part of RELATIVE.split('/')) {
    made = join(made, part);
    await mkdir(made, { recursive: true });
    await giveToDaemon(made);
  }
  for (const name of names) {
    if (!name.endsWith('.xml')) continue;
    const path = join(made, name);
    await copyFile(join(shared, name), path);
    await chmod(path, 0o600);
    await giveToDaemon(path);
  }
}

/** When the daemon runs: keeps its answers. Best effort, as it only saves time. */
export async function saveCapabilities(daemonCache: string): Promise<void> {
  try {
    const shared = await sharedFolder();
    await mkdir(shared, { recursive: true });
    const own = join(daemonCache, RELATIVE);
    for (const name of await readdir(own)) {
      if (!name.endsWith('.xml')) continue;
      const temporary = join(dirname(shared), `${randomBytes(6).toString('hex')}.tmp`);
      await copyFile(join(own, name), temporary);
      await rename(temporary, join(shared, name));
    }
  } catch {
    // the next daemon asks again
  }
}

async function sharedFolder(): Promise<string> {
  return join(await cacheFolder('libvirt-capabilities'), String(daemonIdentity().uid));
}
