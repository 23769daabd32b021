import type { Host } from '@virtnbd/host';
import { type LibvirtConnection, parseCheckpoint } from '@virtnbd/libvirt-ops';
import { requireHypervisor } from '../job/job-paths.ts';
import { dirtyInImages } from './dirty-in-images.ts';
import type { RunPlan } from './plan.ts';

/** How much a run will read of a disk. */
export interface DiskEstimate {
  readonly disk: string;
  /** Bytes of the guest's disk. */
  readonly virtualSize: number;
  /** Bytes that will be saved, before compression: an upper bound for a whole disk, what is dirty for changes. */
  readonly bytes: number;
}

interface EstimateTools {
  readonly libvirt: LibvirtConnection;
  readonly hypervisor: Host | null;
  readonly signal: AbortSignal;
}

/**
 * Estimates what a run will save. Changes are counted from the dirty bitmaps: by libvirt, or, of a VM that is off, from
 * those in its images. Of a whole disk it is what its images take, and for what cannot be known the whole disk.
 */
export async function estimateDisks(
  { libvirt, hypervisor, signal }: EstimateTools,
  { domain, disks, parent, state }: Pick<RunPlan, 'domain' | 'disks' | 'parent' | 'state'>,
): Promise<DiskEstimate[]> {
  const dirty = async (): Promise<ReadonlyMap<string, number>> => {
    if (parent === null || disks.every(({ since }) => since === null)) return new Map();
    if (state !== 'off') return await dirtyBytes(libvirt, domain.uuid, parent);
    return await dirtyInImages(requireHypervisor(hypervisor), { disks, parent }, signal);
  };
  const changed = await dirty();
  return disks.map(({ target, virtualSize, allocated, since }) => {
    const whole = Math.min(virtualSize, allocated ?? virtualSize);
    return { disk: target, virtualSize, bytes: since === null ? whole : (changed.get(target) ?? whole) };
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
