import type { SalvagedLayer } from '@virtnbd/backup-set';
import { RangeList, VirtualDisk } from '@virtnbd/virtual-disk';
import type { ContentExtent, DiskContent } from './content.ts';
import { layersThatCount } from './holes.ts';

/**
 * What is left of a disk whose files are damaged. Where a layer has lost something, the layers below show; where there is
 * none, zeroes.
 *
 * @param layers of a chain, base first
 */
export function salvagedContent(layers: readonly SalvagedLayer[]): DiskContent {
  const size = layers.at(-1)?.virtualSize ?? 0;
  const [only] = layers;
  if (layers.length === 1 && only?.content?.kind === 'raw') return rawRemains(only, only.content.source, size);
  const streams = layersThatCount(layers).flatMap(({ name, content }) =>
    content?.kind === 'stream' ? [{ name, file: content.file }] : [],
  );
  if (streams.length === 0) return ofSize(nothing, size);
  const disk = VirtualDisk.fromLayers(streams, { readAhead: false });
  return ofSize({ size: disk.size, extents: () => disk.extents(), read: disk.read.bind(disk) }, size);
}

type Remains = Pick<DiskContent, 'size' | 'extents' | 'read'>;

const nothing: Remains = { size: 0, extents: () => [], read: async () => undefined };

/** The same as a disk of another size: the newest layer, which says it, may be the one that is lost. */
function ofSize(found: Remains, size: number): DiskContent {
  function* extents(): Generator<ContentExtent> {
    for (const { start, length, kind } of found.extents()) {
      if (start < size) yield { start, length: Math.min(length, size - start), kind };
    }
    if (size > found.size) yield { start: found.size, length: size - found.size, kind: 'zero' };
  }
  let dataBytes = 0;
  for (const { kind, length } of extents()) if (kind === 'data') dataBytes += length;
  return {
    size,
    dataBytes,
    sparseUnknown: false,
    extents,
    read: async (offset, buffer, options) => {
      const there = Math.max(0, Math.min(buffer.length, found.size - offset));
      if (there > 0) await found.read(offset, buffer.subarray(0, there), options);
      buffer.fill(0, there);
    },
  };
}

function rawRemains({ lost }: SalvagedLayer, source: Pick<Remains, 'size' | 'read'>, size: number): DiskContent {
  const holes = RangeList.of(lost);
  const good = RangeList.of([{ start: 0, length: Math.min(size, source.size) }]).without(holes);
  function* extents(): Generator<ContentExtent> {
    let end = 0;
    for (const { start, length } of good) {
      if (start > end) yield { start: end, length: start - end, kind: 'zero' };
      yield { start, length, kind: 'data' };
      end = start + length;
    }
    if (size > end) yield { start: end, length: size - end, kind: 'zero' };
  }
  const read = async (offset: number, buffer: Uint8Array): Promise<void> => {
    buffer.fill(0);
    const wanted = RangeList.of([{ start: offset, length: buffer.length }]).without(holes);
    for (const { start, length } of wanted.below(Math.min(size, source.size))) {
      await source.read(start, buffer.subarray(start - offset, start - offset + length));
    }
  };
  return { size, dataBytes: good.bytes, sparseUnknown: true, extents, read };
}
