import type { Host } from '@virtnbd/host';
import type { RandomAccessSource } from '@virtnbd/stream-format';

const BLOCK = 1 << 20;

/**
 * Copies a raw image into an empty file, sparse where a whole block is zero; on stable storage when it resolves.
 *
 * @throws HostError; what the source's check says of damage
 */
export async function copyRaw(
  host: Host,
  source: RandomAccessSource,
  path: string,
  { signal, onBytes }: { signal?: AbortSignal; onBytes?: (bytes: number) => void } = {},
): Promise<void> {
  await using file = await host.files.open(path, 'read-write');
  const buffer = Buffer.allocUnsafe(BLOCK);
  for (let offset = 0; offset < source.size; offset += BLOCK) {
    signal?.throwIfAborted();
    const block = buffer.subarray(0, Math.min(BLOCK, source.size - offset));
    await source.read(offset, block);
    if (!isZero(block)) await file.writeAt(offset, block);
    onBytes?.(block.length);
  }
  await file.truncate(source.size);
  await file.sync();
}

function isZero(block: Buffer): boolean {
  return block[0] === 0 && block.subarray(1).equals(block.subarray(0, -1));
}
