import { createHash, randomBytes } from 'node:crypto';
import { access, copyFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { cacheFolder } from '../cache-folder.ts';
import { TestKitError } from '../errors.ts';
import { run } from '../programs.ts';
import { packCpio } from './cpio.ts';
import { cachedGuest, type GuestFiles } from './guest.ts';

/** Where Debian's package libguestfs0 has the appliance's recipe. */
const RECIPE = '/usr/lib/x86_64-linux-gnu/guestfs/supermin.d';

/**
 * The environment in which libguestfs's programs (guestfish, guestmount) work on any machine of ours: with the test guest's
 * kernel, since a container has none, and without KVM. The appliance is made once and kept in the cache folder; then a start
 * takes about 6 s.
 */
export async function guestfsEnvironment(): Promise<Record<string, string>> {
  pending ??= findOrBuild().catch((error: unknown) => {
    pending = null; // the next caller tries again
    throw error;
  });
  return {
    LIBGUESTFS_PATH: await pending,
    LIBGUESTFS_BACKEND: 'direct',
    LIBGUESTFS_BACKEND_SETTINGS: 'force_tcg',
  };
}

let pending: Promise<string> | null = null;

async function findOrBuild(): Promise<string> {
  const init = await readFile(new URL('./appliance-init.sh', import.meta.url));
  const guest = await cachedGuest();
  const { stdout: version } = await run('guestfish', ['--version']);
  const key = createHash('sha256')
    .update(init)
    .update(basename(dirname(guest.kernel)))
    .update(version);
  const cache = await cacheFolder('appliance');
  const entry = join(cache, key.digest('hex').slice(0, 16));
  if (await exists(entry)) return entry;

  const work = join(cache, `making-${randomBytes(4).toString('hex')}`);
  try {
    const output = join(work, 'output');
    await mkdir(output, { recursive: true });
    await buildAppliance(work, output, guest, init);
    await rename(output, entry).catch(async (error: unknown) => {
      // Another process may have been faster: its appliance is as good.
      if (!(await exists(entry))) throw error;
    });
    return entry;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/**
 * The four files of a fixed appliance. supermin's own disk image would need /lib/modules and a kernel on this machine, so only
 * its tree is taken.
 */
async function buildAppliance(work: string, output: string, guest: GuestFiles, init: Uint8Array): Promise<void> {
  if (!(await exists(RECIPE))) {
    throw new TestKitError('GUEST', `libguestfs's appliance is made from ${RECIPE}: apt-get install libguestfs0`);
  }
  const tree = join(work, 'tree');
  await run('supermin', ['--build', '--format', 'chroot', '--host-cpu', 'x86_64', RECIPE, '-o', tree], {
    timeoutMs: 600_000,
  });
  const udevadm = join(tree, 'usr/bin/udevadm');
  await rm(udevadm, { force: true });
  await writeFile(udevadm, '#!/bin/busybox true\n', { mode: 0o755 }); // the daemon waits by it for a udev that is not there
  const disk = ['-t', 'ext4', '-O', '^has_journal', '-E', 'root_owner=0:0', '-d', tree, join(output, 'root'), '480M'];
  await run('mke2fs', ['-q', ...disk]);
  await copyFile(guest.kernel, join(output, 'kernel'));
  // Linux unpacks archives that follow each other; the file of the later one counts.
  const ours = gzipSync(packCpio([{ path: 'init', kind: 'file', data: init, mode: 0o755 }]));
  await writeFile(join(output, 'initrd'), Buffer.concat([await readFile(guest.initrd), ours]));
  await writeFile(join(output, 'README.fixed'), 'Made by the test kit of virtnbd.\n'); // libguestfs looks for this file
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
