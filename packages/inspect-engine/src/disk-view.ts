import { join } from 'node:path';
import type { BackupSet, OpenedDisk, PointDisk, RestorePoint } from '@virtnbd/backup-set';
import type { Host } from '@virtnbd/host';
import type { RandomAccessSource } from '@virtnbd/stream-format';
import { type DiskLayer, VirtualDisk } from '@virtnbd/virtual-disk';
import { Closing } from './closing.ts';
import { InspectError } from './errors.ts';
import { diskOf, openFile, openStream } from './open-stream.ts';

/** A range of a disk at a point, and where its content comes from. */
export interface ViewExtent {
  start: number;
  length: number;
  kind: 'data' | 'zero';
  /** The same file and frame mean the same content. */
  file: string;
  frame: number;
}

/** A disk at a point. */
export interface DiskView extends AsyncDisposable {
  /** Bytes. */
  readonly size: number;
  extents(): Iterable<ViewExtent>;
  read(offset: number, buffer: Uint8Array): Promise<void>;
}

export interface ViewOptions {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: { done: number; total: number }) => void) | undefined;
}

/** Opens a disk by the headers of its files alone: for `extents`, not for `read`. */
export async function openByHeaders(
  host: Host,
  set: BackupSet,
  point: RestorePoint,
  disk: string,
  options: ViewOptions,
): Promise<DiskView> {
  await using closing = new Closing();
  const layers: DiskLayer[] = [];
  const files = set.chain(point.id, { disk }).flatMap((link): readonly PointDisk[] => {
    const found = diskOf(link, disk);
    return found === undefined ? [] : [found];
  });
  const [first] = files;
  if (first?.kind === 'raw' && files.length === 1) {
    const opened = closing.use(await openFile(host, join(set.folder, first.file)));
    return rawView(first.file, opened.source, closing.move());
  }
  for (const each of files) {
    if (each.kind === 'raw') {
      throw new InspectError('FOREIGN', `${each.file} is a raw image, and increments cannot be built upon one.`, each);
    }
    const { file } = closing.use(await openStream(host, set.folder, each, options));
    layers.push({ name: each.file, file });
  }
  return streamView(layers, closing.move());
}

/** Opens a disk so that every byte that is read has been checked, as far as the folder has checksums. */
export async function openChecked(
  set: BackupSet,
  point: RestorePoint,
  disk: string,
  options: ViewOptions,
): Promise<DiskView & Pick<OpenedDisk, 'notes'>> {
  const { signal, onProgress } = options;
  await using closing = new Closing();
  const opened = closing.use(
    await set.openLayers(disk, point.id, {
      ...(signal === undefined ? {} : { signal }),
      ...(onProgress === undefined ? {} : { onProgress }),
    }),
  );
  const { notes } = opened;
  if (opened.kind === 'raw') return { ...rawView(opened.image.name, opened.image.source, closing.move()), notes };
  return { ...streamView(opened.layers, closing.move()), notes };
}

function streamView(layers: readonly DiskLayer[], closing: AsyncDisposable): DiskView {
  const disk = VirtualDisk.fromLayers(layers);
  return {
    size: disk.size,
    *extents() {
      for (const { start, length, kind, layer, frame } of disk.extents()) {
        yield { start, length, kind, file: layers[layer]?.name ?? '', frame };
      }
    },
    read: (offset, buffer) => disk.read(offset, buffer),
    [Symbol.asyncDispose]: () => closing[Symbol.asyncDispose](),
  };
}

/** A plain image tells nothing by headers: it is one piece of data. */
function rawView(file: string, source: RandomAccessSource, closing: AsyncDisposable): DiskView {
  const { size } = source;
  return {
    size,
    extents: () => (size === 0 ? [] : [{ start: 0, length: size, kind: 'data', file, frame: 0 }]),
    read: (offset, buffer) => source.read(offset, buffer),
    [Symbol.asyncDispose]: () => closing[Symbol.asyncDispose](),
  };
}
