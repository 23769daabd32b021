import type { StreamFile } from '@virtnbd/stream-format';

/** What the frames of a stream file hold, all in bytes of the disk unless said otherwise. */
export interface FrameStatistics {
  dataFrames: number;
  zeroFrames: number;
  dataBytes: number;
  zeroBytes: number;
  /** Bytes of the disk that no frame tells of. */
  absentBytes: number;
  /** Bytes that the data frames take in the file, without their headers. */
  storedBytes: number;
  /** dataBytes / storedBytes; null without data. 2 means that the data takes half the room. */
  ratio: number | null;
  smallestDataFrame: number | null;
  largestDataFrame: number | null;
}

/** Frames whose length is at least `from` and less than `to` bytes. */
export interface HistogramBucket {
  from: number;
  to: number;
  dataFrames: number;
  dataBytes: number;
  zeroFrames: number;
  zeroBytes: number;
}

export function ratioOf(dataBytes: number, storedBytes: number): number | null {
  return storedBytes === 0 ? null : dataBytes / storedBytes;
}

export function frameStatistics({ index, meta }: Pick<StreamFile, 'index' | 'meta'>): FrameStatistics {
  const sum = { dataFrames: 0, zeroFrames: 0, dataBytes: 0, zeroBytes: 0, storedBytes: 0 };
  let smallest: number | null = null;
  let largest: number | null = null;
  for (let frame = 0; frame < index.count; frame++) {
    const length = index.length(frame);
    if (index.kind(frame) === 'zero') {
      sum.zeroFrames++;
      sum.zeroBytes += length;
      continue;
    }
    sum.dataFrames++;
    sum.dataBytes += length;
    sum.storedBytes += index.storedLength(frame);
    smallest = Math.min(smallest ?? length, length);
    largest = Math.max(largest ?? length, length);
  }
  return {
    ...sum,
    absentBytes: meta.virtualSize - sum.dataBytes - sum.zeroBytes,
    ratio: ratioOf(sum.dataBytes, sum.storedBytes),
    smallestDataFrame: smallest,
    largestDataFrame: largest,
  };
}

/** Frames by the power of two of their length; buckets without a frame between two others are there, too. */
export function frameHistogram({ index }: Pick<StreamFile, 'index'>): HistogramBucket[] {
  const buckets = new Map<number, HistogramBucket>();
  let lowest = Number.POSITIVE_INFINITY;
  let highest = Number.NEGATIVE_INFINITY;
  for (let frame = 0; frame < index.count; frame++) {
    const length = index.length(frame);
    const power = Math.floor(Math.log2(length));
    const bucket = buckets.get(power) ?? emptyBucket(power);
    buckets.set(power, bucket);
    lowest = Math.min(lowest, power);
    highest = Math.max(highest, power);
    if (index.kind(frame) === 'data') {
      bucket.dataFrames++;
      bucket.dataBytes += length;
    } else {
      bucket.zeroFrames++;
      bucket.zeroBytes += length;
    }
  }
  const all: HistogramBucket[] = [];
  for (let power = lowest; power <= highest; power++) all.push(buckets.get(power) ?? emptyBucket(power));
  return all;
}

function emptyBucket(power: number): HistogramBucket {
  return { from: 2 ** power, to: 2 ** (power + 1), dataFrames: 0, dataBytes: 0, zeroFrames: 0, zeroBytes: 0 };
}
