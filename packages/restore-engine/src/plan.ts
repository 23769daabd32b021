import type { BackupSet, PointDisk } from '@virtnbd/backup-set';
import { RestoreError } from './errors.ts';

/** What is to be restored. */
export interface RestoreSelection {
  /** Id of a restore point (a checkpoint's name, `copy`, the unix time of a differential), or `latest`. */
  readonly point: string;
  /** Only this disk; all of the point's when absent. Its whole name: `vda` is not `vdaa`. */
  readonly disk?: string;
}

/** One image to make. */
export interface PlannedImage {
  readonly disk: string;
  readonly kind: PointDisk['kind'];
  /** Name of the image in the target folder. */
  readonly name: string;
  /** Bytes. */
  readonly virtualSize: number;
  /** Names of the files that it is built from, base first. */
  readonly files: readonly string[];
}

export interface RestorePlan {
  /** Id of the point that is restored. */
  readonly point: string;
  readonly images: readonly PlannedImage[];
}

/**
 * Decides what a restore makes, from the folder's restore points alone. Every chain is complete when this returns.
 *
 * @param imageNames base names of the source images, by disk; a disk without one gives the image its own name
 * @throws RestoreError UNKNOWN_DISK, NAME_CLASH; BackupSetError for a point that is unknown or whose chain is broken
 */
export function planRestore(
  set: Pick<BackupSet, 'point' | 'chain' | 'folder'>,
  selection: RestoreSelection,
  imageNames: ReadonlyMap<string, string>,
): RestorePlan {
  const point = set.point(selection.point);
  const { disk } = selection;
  const wanted = point.disks.filter((known) => disk === undefined || known.disk === disk);
  if (wanted.length === 0)
    throw new RestoreError(
      'UNKNOWN_DISK',
      `the restore point ${point.id} has no disk ${disk ?? ''}; it has ${point.disks.map((known) => known.disk).join(', ')}`,
    );
  const images = wanted.map(({ disk: name, kind, virtualSize }) => ({
    disk: name,
    kind,
    name: imageNames.get(name) ?? `${name}.${kind === 'raw' ? 'raw' : 'qcow2'}`,
    virtualSize,
    files: set
      .chain(point.id, { disk: name })
      .flatMap(({ disks }) => disks.filter((d) => d.disk === name).map((d) => d.file)),
  }));
  return { point: point.id, images: images.map((image) => ({ ...image, name: ownName(image, images) })) };
}

/** Images of one name, which lay in different folders, get the disk's name before theirs. */
function ownName(image: PlannedImage, images: readonly PlannedImage[]): string {
  const alone = images.filter(({ name }) => name === image.name).length === 1;
  const name = alone ? image.name : `${image.disk}.${image.name}`;
  if (alone || !images.some((other) => other.name === name)) return name;
  throw new RestoreError(
    'NAME_CLASH',
    `disk ${image.disk} finds no name of its own; restore it alone: -d ${image.disk}`,
    {
      disk: image.disk,
    },
  );
}
