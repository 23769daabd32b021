import type { Random } from '@virtnbd/test-kit';
import { type FrameSpec, KIB, makePoint, type PointSpec } from './make-point.ts';

export interface ChainSpec {
  random: Random;
  /** Points after the full. */
  increments: number;
  /** Default vda. */
  disk?: string;
  compression?: 'lz4';
  /** Bytes of the disk at the full, a multiple of 64 KiB; default 2 MiB. */
  virtualSize?: number;
}

/** A restore point, and the bytes that its disk must have. */
export interface SamplePoint {
  id: string;
  bytes: Uint8Array;
}

const BLOCK = 64 * KIB;

/**
 * A full and increments on it of one disk: data, zeroes over data, untouched ranges, now and then a base in mid-chain, a disk that
 * has grown, and at the end a differential.
 */
export async function makeRandomChain(folder: string, spec: ChainSpec): Promise<SamplePoint[]> {
  const { random, increments, disk = 'vda', compression } = spec;
  const points: SamplePoint[] = [];
  let bytes = new Uint8Array(spec.virtualSize ?? 32 * BLOCK);
  const make = async (point: Omit<PointSpec, 'disks'>, base: boolean): Promise<void> => {
    const frames = base ? wholeFrames(random, bytes.length) : changedFrames(random, bytes.length);
    bytes = base ? new Uint8Array(bytes.length) : bytes.slice();
    apply(bytes, frames);
    const common = { disk, virtualSize: bytes.length, frames, ...(compression !== undefined && { compression }) };
    await makePoint(folder, { ...point, disks: [{ ...common, base }] });
    points.push({ id: point.diff ?? `virtnbdbackup.${point.number}`, bytes });
  };
  await make({ number: 0 }, true);
  for (let number = 1; number <= increments; number++) {
    const resized = random.boolean(0.2);
    if (resized) {
      const grown = new Uint8Array(bytes.length + BLOCK * random.integer(1, 4));
      grown.set(bytes);
      bytes = grown;
    }
    await make({ number }, random.boolean(0.15));
  }
  await make({ number: increments, diff: '1800000000' }, false);
  return points;
}

/** Data and zeroes in turns, over the whole disk. */
function wholeFrames(random: Random, size: number): FrameSpec[] {
  const frames: FrameSpec[] = [];
  for (let start = 0; start < size; ) {
    const length = Math.min(size - start, BLOCK * random.integer(1, 6));
    frames.push(random.boolean(0.6) ? { start, length, fill: noise(random, length) } : { start, length, zero: true });
    start += length;
  }
  return frames;
}

/** Some ranges, the rest untouched. */
function changedFrames(random: Random, size: number): FrameSpec[] {
  return wholeFrames(random, size).filter(() => random.boolean(0.4));
}

/** Half noise, half repeated: it can be compressed, but not away. */
function noise(random: Random, length: number): Uint8Array {
  const bytes = random.bytes(length);
  return bytes.fill(random.integer(1, 255), length >> 1);
}

function apply(bytes: Uint8Array, frames: readonly FrameSpec[]): void {
  for (const frame of frames) {
    const range = bytes.subarray(frame.start, frame.start + frame.length);
    if ('zero' in frame) range.fill(0);
    else if (typeof frame.fill === 'number') range.fill(frame.fill);
    else range.set(frame.fill);
  }
}
