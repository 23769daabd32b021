import { createHash, randomBytes } from 'node:crypto';
import { constants, copyFile, mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder } from '../cache-folder.ts';
import { giveToDaemon } from '../identity.ts';
import { buildGuest, MODULES } from './build-guest.ts';

export interface GuestFiles {
  readonly kernel: string;
  readonly initrd: string;
}

/**
 * Puts the guest's kernel and initramfs into `folder`, readable by the user that qemu runs as (a cache below /root is not).
 * The guest is made at the first call and kept in the cache folder under its recipe and the versions in it.
 */
export async function guestFiles(folder: string): Promise<GuestFiles> {
  const files = { kernel: join(folder, 'vmlinuz'), initrd: join(folder, 'initrd') };
  const made = await cachedGuest();
  for (const [from, to] of [
    [made.kernel, files.kernel],
    [made.initrd, files.initrd],
  ] as const) {
    if ((await stat(to).catch(() => null)) !== null) continue; // an earlier VM of this instance
    const temporary = `${to}.${randomBytes(4).toString('hex')}`;
    await copyFile(from, temporary, constants.COPYFILE_FICLONE);
    await giveToDaemon(temporary);
    await rename(temporary, to);
  }
  return files;
}

let pending: Promise<GuestFiles> | null = null;

/** The guest in the cache folder; made now if there is none. GUEST error when that cannot be done. */
export function cachedGuest(): Promise<GuestFiles> {
  pending ??= findOrBuild().catch((error: unknown) => {
    pending = null; // the next caller tries again
    throw error;
  });
  return pending;
}

async function findOrBuild(): Promise<GuestFiles> {
  const init = await readFile(new URL('./init.sh', import.meta.url));
  const shutdown = await readFile(new URL('./shutdown.sh', import.meta.url));
  const recipe = createHash('sha256').update(init).update(shutdown).update(MODULES.join()).digest('hex').slice(0, 8);
  const cache = await cacheFolder('guest');
  const found = await findGuest(cache, recipe);
  if (found !== null) return found;

  const work = join(cache, `making-${randomBytes(4).toString('hex')}`);
  try {
    const output = join(work, 'output');
    await mkdir(output, { recursive: true });
    const versions = await buildGuest(work, output, { init, shutdown });
    const entry = join(cache, `${recipe}-${versions.replaceAll(/[^\w.+~-]/g, '_')}`);
    const failure = await rename(output, entry).catch((error: unknown) => error);
    // Another process may have been faster: its guest is as good.
    const made = await findGuest(cache, recipe);
    if (made === null) throw failure;
    return made;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function findGuest(cache: string, recipe: string): Promise<GuestFiles | null> {
  const names = (await readdir(cache)).filter((name) => name.startsWith(`${recipe}-`)).sort();
  const newest = names.at(-1);
  if (newest === undefined) return null;
  return { kernel: join(cache, newest, 'vmlinuz'), initrd: join(cache, newest, 'initrd') };
}
