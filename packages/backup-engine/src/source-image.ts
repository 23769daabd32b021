import type { Host } from '@virtnbd/host';
import type { SavedDisk } from './disks.ts';
import { BackupError } from './errors.ts';

/** What `qemu-img info` tells of a disk's image. */
export interface SourceImage {
  /** Size of the guest's disk, bytes. */
  readonly virtualSize: number;
  /** qcow2 `compat` level: `0.10` (version 2, without bitmaps) or `1.1`. */
  readonly compat: string | null;
  /** The JSON text as qemu-img printed it, saved as `D.IDENT.qcow.json`. */
  readonly json: string;
}

/** More than any real answer of qemu-img: an image with thousands of bitmaps stays below. */
const MAX_INFO_BYTES = 16 << 20;

/**
 * Asks qemu-img what kind of image a disk has. The image is in use by the VM, so it is opened without a lock.
 *
 * @throws BackupError EXPORT_MISMATCH when the answer has no size; HostError when qemu-img is missing or fails
 */
export async function inspectSource(host: Host, disk: SavedDisk, signal?: AbortSignal): Promise<SourceImage> {
  const { stdout } = await host.run(
    'qemu-img',
    ['info', '--force-share', '--output=json', '-f', disk.format, disk.source],
    { maxOutput: MAX_INFO_BYTES, ...(signal && { signal }) },
  );
  const info: unknown = JSON.parse(stdout);
  const virtualSize = field(info, 'virtual-size');
  if (typeof virtualSize !== 'number' || !Number.isSafeInteger(virtualSize) || virtualSize < 0)
    throw new BackupError('EXPORT_MISMATCH', `qemu-img tells no size of ${disk.source} (disk ${disk.target})`, {
      disk: disk.target,
    });
  const compat = field(field(field(info, 'format-specific'), 'data'), 'compat');
  return { virtualSize, compat: typeof compat === 'string' ? compat : null, json: stdout };
}

function field(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined;
}
