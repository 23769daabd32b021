import { type LibvirtConnection, parseCheckpoint } from '@virtnbd/libvirt-ops';
import type { RunPlan } from './plan.ts';

/** How much a run will read of a disk. */
export interface DiskEstimate {
  readonly disk: string;
  /** Bytes of the guest's disk. */
  readonly virtualSize: number;
  /** Bytes that will be saved, before compression: an upper bound for a whole disk, what is dirty for changes. */
  readonly bytes: number;
}

/**
 * Estimates what a run will save. Changes are counted by libvirt, from the dirty bitmaps; of a whole disk it is what its
 * images take, and for what cannot be known the whole disk.
 */
export async function estimateDisks(
  libvirt: LibvirtConnection,
  { domain, disks, parent, state }: Pick<RunPlan, 'domain' | 'disks' | 'parent' | 'state'>,
): Promise<DiskEstimate[]> {
  const counted = disks.some(({ since }) => since !== null) && state !== 'off' && parent !== null;
  const dirty = counted ? await dirtyBytes(libvirt, domain.uuid, parent) : new Map<string, number>();
  return disks.map(({ target, virtualSize, allocated, since }) => {
    const whole = Math.min(virtualSize, allocated ?? virtualSize);
    return { disk: target, virtualSize, bytes: since === null ? whole : (dirty.get(target) ?? whole) };
  });
}

/** Bytes of all disks together. */
export function totalBytes(estimates: readonly DiskEstimate[]): number {
  return estimates.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** By disk; empty where libvirt cannot count. */
async function dirtyBytes(libvirt: LibvirtConnection, uuid: string, checkpoint: string): Promise<Map<string, number>> {
  const xml = await libvirt.checkpointXml(uuid, checkpoint, { size: true, noDomain: true }).catch(() => null);
  if (xml === null) return new Map();
  const { disks } = await parseCheckpoint(xml);
  return new Map(disks.flatMap(({ target, size }) => (size === null ? [] : [[target, size] as const])));
}
