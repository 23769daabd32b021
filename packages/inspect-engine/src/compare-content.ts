import { RangeList } from '@virtnbd/virtual-disk';
import type { DiskView } from './disk-view.ts';

/** Bytes compared at a time. */
const BLOCK = 1024 * 1024;

type Readable = Pick<DiskView, 'size' | 'read'>;

export interface CompareOptions {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: { done: number; total: number }) => void) | undefined;
}

/**
 * Compares the bytes of two disks in the given ranges. What lies past the end of the smaller one differs.
 *
 * @param granularity bytes: blocks of the disk that are told apart
 */
export async function compareContent(
  from: Readable,
  to: Readable,
  ranges: RangeList,
  granularity: number,
  options: CompareOptions = {},
): Promise<{ differing: RangeList; zeroedBytes: number }> {
  const differing = new RangeList();
  const common = Math.min(from.size, to.size);
  const buffers = [new Uint8Array(BLOCK), new Uint8Array(BLOCK)] as const;
  const zero = new Uint8Array(granularity);
  let zeroedBytes = 0;
  let done = 0;
  for (const { start, length } of ranges.below(common)) {
    const end = start + length;
    for (let offset = start; offset < end; ) {
      options.signal?.throwIfAborted();
      const size = Math.min(BLOCK - (offset % granularity), end - offset);
      const [a, b] = [buffers[0].subarray(0, size), buffers[1].subarray(0, size)];
      await bothRead(from.read(offset, a), to.read(offset, b));
      for (let at = 0; at < size; ) {
        const next = Math.min(size, at + granularity - ((offset + at) % granularity));
        if (Buffer.compare(a.subarray(at, next), b.subarray(at, next)) !== 0) {
          differing.add(offset + at, offset + next);
          if (Buffer.compare(b.subarray(at, next), zero.subarray(0, next - at)) === 0) zeroedBytes += next - at;
        }
        at = next;
      }
      offset += size;
      done += size;
      options.onProgress?.({ done, total: ranges.bytes });
    }
  }
  differing.add(common, Math.max(from.size, to.size));
  return { differing, zeroedBytes };
}

/** Waits for both, so that no read goes on after a failure. */
async function bothRead(a: Promise<void>, b: Promise<void>): Promise<void> {
  for (const result of await Promise.allSettled([a, b])) if (result.status === 'rejected') throw result.reason;
}
