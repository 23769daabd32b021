import { join } from 'node:path';
import { type Host, makeRunFolder } from '@virtnbd/host';
import { NbdClient } from '@virtnbd/nbd-client';
import { NBD_IDLE_MS } from '../context.ts';
import { ALLOCATION, collectExtents } from '../copy/extents.ts';
import type { DiskExports } from '../job/disk-exports.ts';
import { serveImages } from '../job/serve-images.ts';
import type { PlannedDisk } from './disk-plan.ts';
import type { RunPlan } from './plan.ts';

/**
 * Bytes that an increment of a VM that is off will save, by disk: the dirty bitmaps in its images, as the servers of the
 * run itself will tell them. Disks that are saved whole are left out.
 *
 * @throws BackupError DOMAIN_ACTIVE when the VM has just started; COPY_FAILED when an image cannot be served
 */
export async function dirtyInImages(
  host: Host,
  { disks, parent }: Pick<RunPlan, 'disks' | 'parent'>,
  signal: AbortSignal,
): Promise<Map<string, number>> {
  const changed = disks.filter(({ since }) => since !== null);
  // The sockets' place tells whose it is: no intent does yet.
  const folder = await makeRunFolder(host, '/tmp', 'virtnbdbackup.');
  try {
    const exports = await serveImages(host, { disks: changed, parent }, join(folder, 'sockets'), {
      severalClients: false,
      signal,
    });
    try {
      const sizes = new Map<string, number>();
      for (const disk of changed) sizes.set(disk.target, await dirtyBytes(exports, disk, signal));
      return sizes;
    } finally {
      await exports.end();
    }
  } finally {
    await host.files.removeFolder(folder, { recursive: true });
  }
}

async function dirtyBytes(
  exports: DiskExports,
  { target, virtualSize }: PlannedDisk,
  signal: AbortSignal,
): Promise<number> {
  const contexts = [ALLOCATION, exports.dirtyContext(target)];
  const client = await NbdClient.connect(exports.address(target), {
    ...{ exportName: target, metaContexts: contexts, idleTimeoutMs: NBD_IDLE_MS, signal },
  });
  try {
    const disk = { target, size: virtualSize, incremental: true };
    const { dataBytes, zeroBytes } = await collectExtents(client.extents({ contexts, signal }), disk);
    return dataBytes + zeroBytes;
  } finally {
    client.destroy();
  }
}
