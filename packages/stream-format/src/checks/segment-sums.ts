import { crc32 } from 'node:zlib';
import { Adler32 } from './adler32.ts';

/** The checksums of a part of a file. */
export interface SegmentSums {
  /** Of the part alone. */
  readonly adler32: number;
  /** CRC-32 of each chunk of it, the last one perhaps shorter. */
  readonly crcs: readonly number[];
}

/** @param chunkSize bytes of a chunk */
export function segmentSums(bytes: Uint8Array, chunkSize: number): SegmentSums {
  const adler = new Adler32();
  const crcs: number[] = [];
  for (let start = 0; start < bytes.length; start += chunkSize) {
    const chunk = bytes.subarray(start, start + chunkSize);
    // One after the other over the same chunk: it is in the processor's cache then.
    crcs.push(crc32(chunk));
    adler.update(chunk);
  }
  return { adler32: adler.value, crcs };
}
