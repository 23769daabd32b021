import type { OpenedDisk } from '@virtnbd/backup-set';
import type { RandomAccessSource } from '@virtnbd/stream-format';
import { VirtualDisk } from '@virtnbd/virtual-disk';

/** A range of a disk. */
export interface ContentExtent {
  /** Bytes from the start of the disk. */
  readonly start: number;
  /** Bytes. */
  readonly length: number;
  readonly kind: 'data' | 'zero';
}

/** What a disk held at a point: what its target will hold. */
export interface DiskContent {
  /** Bytes. */
  readonly size: number;
  /** Bytes in extents of data; all others are zero. */
  readonly dataBytes: number;
  /** Whether data may well be zero: a raw image does not tell. */
  readonly sparseUnknown: boolean;
  /** All extents in order, without gaps. */
  extents(): Iterable<ContentExtent>;
  /** Every byte that it gives was checked, as far as the folder has checksums. */
  read(offset: number, buffer: Uint8Array, options?: { signal?: AbortSignal }): Promise<void>;
}

export interface OpenedContent extends AsyncDisposable {
  readonly content: DiskContent;
  /** What the user should hear of: files that were not checked. */
  readonly notes: readonly string[];
}

/**
 * What files that were opened together hold. The result closes them.
 *
 * @param open opens them
 */
export async function openContent(open: () => Promise<OpenedDisk>): Promise<OpenedContent> {
  const opened = await open();
  const content = opened.kind === 'raw' ? rawContent(opened.image.source) : layeredContent(opened.layers);
  return { content, notes: opened.notes, [Symbol.asyncDispose]: () => opened.close() };
}

function layeredContent(layers: Parameters<typeof VirtualDisk.fromLayers>[0]): DiskContent {
  const disk = VirtualDisk.fromLayers(layers, { readAhead: false });
  return {
    size: disk.size,
    dataBytes: disk.dataBytes,
    sparseUnknown: false,
    extents: () => disk.extents(),
    read: (offset, buffer, options) => disk.read(offset, buffer, options),
  };
}

function rawContent(source: RandomAccessSource): DiskContent {
  const { size } = source;
  return {
    size,
    dataBytes: size,
    sparseUnknown: true,
    extents: () => (size === 0 ? [] : [{ start: 0, length: size, kind: 'data' }]),
    read: async (offset, buffer, options) => {
      options?.signal?.throwIfAborted();
      await source.read(offset, buffer);
    },
  };
}
