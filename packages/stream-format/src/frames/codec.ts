import { lz4Codec } from './lz4-frame.ts';
import type { StreamMeta } from './meta.ts';
import type { Walk } from './walk.ts';
import { zstdCodec } from './zstd-frame.ts';

export type CompressionMethod = 'lz4' | 'zstd';

/** Where a compressed frame ends, and what it holds. */
export interface CompressedExtent {
  /** Offset in the file of the first byte after it. */
  readonly end: number;
  /** Guest bytes. */
  readonly length: number;
}

/** How the payloads of a compressed file are told apart, checked and opened. */
export interface Codec {
  readonly method: CompressionMethod;
  /** Bytes of the smallest frame that there can be. */
  readonly smallest: number;
  /** Whether a data frame may be cut into several compressed frames. */
  readonly cuts: boolean;
  /** The most bytes that `length` guest bytes may take. */
  most(length: number): number;
  /**
   * Walks one compressed frame at `start`, of at most `remaining` guest bytes: as many as its header states, or all.
   *
   * @throws StreamFormatError BAD_PAYLOAD, UNSUPPORTED
   */
  walk(start: number, remaining: number): Walk<CompressedExtent>;
  /**
   * Opens one compressed frame that is all of `stored` and fills all of `target`. Nothing is allocated before its
   * structure was checked. The frame's own checksums are verified unless the bytes were `verified` by others.
   *
   * @throws StreamFormatError BAD_PAYLOAD, UNSUPPORTED
   */
  open(stored: Uint8Array, target: Uint8Array, fileOffset: number, verified: boolean): Promise<void>;
}

/** How the payloads of a file are compressed; undefined when they are plain. */
export function codecOf(meta: StreamMeta): Codec | undefined {
  if (meta.compressed === false) return undefined;
  return meta.compressionMethod === 'zstd' ? zstdCodec : lz4Codec;
}

export const CODECS: readonly Codec[] = [lz4Codec, zstdCodec];
