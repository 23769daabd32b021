import type { BlockReader } from './copy-disk.ts';
import { ExtentTable } from './extent-table.ts';

/** Bytes that are read and compared at a time, and within them looked at one by one. */
const PIECE = 1 << 20;
const BLOCK = 1 << 16;

/**
 * Adds to the runs of an increment whatever else of the disk differs from the parent point. For a bitmap that may be of
 * another chain: where it says «not changed» it is not believed but looked at.
 *
 * @param table what the bitmap tells
 * @param size of the disk, bytes
 * @param now the job's export @param before the disk at the parent point
 * @returns all runs, and how many bytes the bitmap did not tell of
 */
export async function withDifferences(
  table: ExtentTable,
  size: number,
  { now, before, signal }: { now: BlockReader; before: BlockReader; signal: AbortSignal },
): Promise<{ table: ExtentTable; untold: number }> {
  const result = new ExtentTable();
  const buffers = [Buffer.allocUnsafe(PIECE), Buffer.allocUnsafe(PIECE)] as const;
  let untold = 0;
  const compare = async (from: number, to: number): Promise<void> => {
    for (let start = from; start < to; start += PIECE) {
      const length = Math.min(PIECE, to - start);
      const [a, b] = [buffers[0].subarray(0, length), buffers[1].subarray(0, length)];
      await Promise.all([now.read(start, a, { signal }), before.read(start, b, { signal })]);
      if (a.equals(b)) continue;
      for (let at = 0; at < length; at += BLOCK) {
        const block = a.subarray(at, at + BLOCK);
        if (block.equals(b.subarray(at, at + BLOCK))) continue;
        result.add(start + at, block.length, 'data');
        untold += block.length;
      }
    }
  };
  let end = 0;
  for (const { start, length, kind } of table) {
    await compare(end, start);
    result.add(start, length, kind);
    end = start + length;
  }
  await compare(end, size);
  return { table: result, untold };
}
