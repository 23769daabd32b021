import { type DiskSpec, type FrameSpec, KIB } from './make-point.ts';

const BLOCK = 64 * KIB;
const ZEROES = new Uint8Array(BLOCK);

/**
 * What a backup saves of a disk.
 *
 * @param image the disk's bytes
 * @param before what it held at the point before: then only the blocks that have changed since, an increment
 */
export function diskOfImage(image: Uint8Array, before?: Uint8Array): Pick<DiskSpec, 'virtualSize' | 'frames'> {
  const frames: FrameSpec[] = [];
  for (let start = 0; start < image.length; start += BLOCK) {
    const block = image.subarray(start, start + BLOCK);
    if (before !== undefined && Buffer.compare(block, before.subarray(start, start + BLOCK)) === 0) continue;
    const length = block.length;
    const isZero = Buffer.compare(block, ZEROES.subarray(0, length)) === 0;
    frames.push(isZero ? { start, length, zero: true } : { start, length, fill: block });
  }
  return { virtualSize: image.length, frames };
}
