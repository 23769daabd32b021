import type { Host } from '@virtnbd/host';
import { BackupError } from '../errors.ts';
import type { SavedDisk } from './disks.ts';

/** A dirty bitmap in an image. */
export interface ImageBitmap {
  readonly name: string;
  /** A qemu has it loaded, or had when it died: of a VM that is off it is worth nothing then. */
  readonly inUse: boolean;
}

/** What `qemu-img info` tells of a disk's image. */
export interface SourceImage {
  /** Size of the guest's disk, bytes. */
  readonly virtualSize: number;
  /** qcow2 `compat` level: `0.10` (version 2, without bitmaps) or `1.1`. */
  readonly compat: string | null;
  /** Paths of the image and of those that it is based on, the image first. */
  readonly images: readonly string[];
  readonly bitmaps: readonly ImageBitmap[];
  /** Bytes that the image and those that it is based on take on their file systems; null where one does not tell. */
  readonly allocated: number | null;
  /** What qemu-img printed of the image, saved as `D.IDENT.qcow.json`. */
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
    ['info', '--force-share', '--backing-chain', '--output=json', '-f', disk.format, disk.source],
    { maxOutput: MAX_INFO_BYTES, ...(signal && { signal }) },
  );
  const chain: unknown = JSON.parse(stdout);
  const [info] = Array.isArray(chain) ? chain : [];
  const virtualSize = field(info, 'virtual-size');
  if (!Array.isArray(chain) || typeof virtualSize !== 'number' || !Number.isSafeInteger(virtualSize) || virtualSize < 0)
    throw new BackupError('EXPORT_MISMATCH', `qemu-img tells no size of ${disk.source} (disk ${disk.target})`, {
      disk: disk.target,
    });
  const data = field(field(info, 'format-specific'), 'data');
  const bitmaps = field(data, 'bitmaps');
  return {
    virtualSize,
    compat: text(field(data, 'compat')),
    images: chain.flatMap((image) => text(field(image, 'filename')) ?? []),
    bitmaps: (Array.isArray(bitmaps) ? bitmaps : []).flatMap(readBitmap),
    allocated: allocatedBytes(chain),
    json: JSON.stringify(info, null, 4),
  };
}

/**
 * What libvirt itself tells of a disk, where the host's programs are not reached: its size and its image. The image's
 * features and bitmaps are not known then, so a restored image gets qemu's defaults.
 */
export async function sourceByLibvirt(
  libvirt: { diskSize(uuid: string, disk: string): Promise<number> },
  uuid: string,
  { target, source, format }: SavedDisk,
): Promise<SourceImage> {
  const virtualSize = await libvirt.diskSize(uuid, target);
  const info = { filename: source, format, 'virtual-size': virtualSize };
  return {
    virtualSize,
    compat: null,
    images: [source],
    bitmaps: [],
    allocated: null,
    json: JSON.stringify(info, null, 4),
  };
}

function allocatedBytes(chain: readonly unknown[]): number | null {
  const sizes = chain.map((image) => field(image, 'actual-size'));
  return sizes.every((size) => typeof size === 'number') ? sizes.reduce((sum, size) => sum + size, 0) : null;
}

function readBitmap(bitmap: unknown): ImageBitmap[] {
  const name = text(field(bitmap, 'name'));
  const flags = field(bitmap, 'flags');
  return name === null ? [] : [{ name, inUse: Array.isArray(flags) && flags.includes('in-use') }];
}

function field(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined;
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
