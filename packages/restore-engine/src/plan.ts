import {
  assertSafeName,
  type BackupSet,
  type ChainOptions,
  type PointDisk,
  type RestorePoint,
} from '@virtnbd/backup-set';
import { RestoreError } from './errors.ts';
import { type ImageFormat, renamedFor } from './target/image-format.ts';

/** Which disks are to be restored, and to where. */
export interface RestoreSelection {
  /** Only this disk; all of the point's when absent. Its whole name: `vda` is not `vdaa`. */
  readonly disk?: string;
  /** Of the images that are made; as they were saved when absent: qcow2, or raw. */
  readonly format?: ImageFormat;
  /** Block devices to write, by disk: absolute paths. */
  readonly devices?: ReadonlyMap<string, string>;
  /** Existing images to bring back to the point, by disk: absolute paths. */
  readonly onto?: ReadonlyMap<string, string>;
}

/** Where a disk goes. */
export type PlannedTarget =
  /** A new file in the target folder; `dataFile` is the one with the guest's data, where the image has one. */
  | { readonly kind: 'file'; readonly name: string; readonly format: ImageFormat; readonly dataFile?: string }
  | { readonly kind: 'device'; readonly path: string }
  | { readonly kind: 'onto'; readonly path: string; readonly format: ImageFormat };

/** One disk to restore. */
export interface PlannedImage {
  readonly disk: string;
  readonly kind: PointDisk['kind'];
  readonly target: PlannedTarget;
  /** Bytes. */
  readonly virtualSize: number;
  /** Names of the files that it is built from, base first. */
  readonly files: readonly string[];
}

export interface RestorePlan {
  /** Id of the point that is restored. */
  readonly point: string;
  /** When it was taken, ISO 8601; empty when nothing tells. */
  readonly date: string;
  readonly images: readonly PlannedImage[];
}

/** What the small files of a point say of a disk's image. */
export interface SourceImage {
  /** Base name, safe as a file name. */
  readonly name: string | null;
  /** Base name of the file that held the data of a qcow2 image, safe as a file name. */
  readonly dataFile: string | null;
}

/** A disk and the files that make it: what the folder has to say. */
type FoundDisk = Pick<PlannedImage, 'disk' | 'kind' | 'virtualSize' | 'files'> & { readonly format?: string };

/**
 * Decides what a restore makes, from the folder's restore points alone. Every chain is complete when this returns.
 *
 * @param sources what is known of the source images, by disk; a disk without gives the image its own name
 * @param options.despiteFaults plan what is left of a damaged point, too
 * @throws RestoreError UNKNOWN_DISK, NAME_CLASH; BackupSetError for a chain that is broken
 */
export function planRestore(
  set: Pick<BackupSet, 'chain'>,
  point: RestorePoint,
  selection: RestoreSelection,
  sources: ReadonlyMap<string, SourceImage>,
  options: Pick<ChainOptions, 'despiteFaults'> = {},
): RestorePlan {
  const disks = wantedDisks(point, selection).map((found) => ({
    ...found,
    files: set
      .chain(point.id, { ...options, disk: found.disk })
      .flatMap(({ disks: saved }) => saved.filter(({ disk }) => disk === found.disk).map(({ file }) => file)),
  }));
  return { point: point.id, date: point.date, images: planTargets(disks, selection, sources) };
}

/** Gives each disk its target. Names are unique, also with those of data files. */
export function planTargets(
  disks: readonly FoundDisk[],
  selection: RestoreSelection,
  sources: ReadonlyMap<string, SourceImage>,
): PlannedImage[] {
  const names = new NameGiver(disks.map(({ disk }) => sources.get(disk)?.name ?? null));
  return disks.map(({ disk, kind, virtualSize, files, format }) => ({
    disk,
    kind,
    virtualSize,
    files,
    target: targetOf({ disk, kind, format }, selection, sources.get(disk), names),
  }));
}

function wantedDisks({ id, disks }: RestorePoint, selection: RestoreSelection): readonly PointDisk[] {
  const asked = [selection.disk, ...(selection.devices?.keys() ?? []), ...(selection.onto?.keys() ?? [])];
  for (const disk of asked) {
    if (disk === undefined || disks.some((known) => known.disk === disk)) continue;
    const known = disks.map((each) => each.disk).join(', ');
    throw new RestoreError('UNKNOWN_DISK', `the restore point ${id} has no disk ${disk}; it has ${known}`, { disk });
  }
  return disks.filter(({ disk }) => selection.disk === undefined || disk === selection.disk);
}

function targetOf(
  { disk, kind, format }: { disk: string; kind: PointDisk['kind']; format: string | undefined },
  selection: RestoreSelection,
  source: SourceImage | undefined,
  names: NameGiver,
): PlannedTarget {
  const device = selection.devices?.get(disk);
  if (device !== undefined) return { kind: 'device', path: device };
  const saved = kind === 'raw' || format === 'raw' ? 'raw' : 'qcow2';
  const wanted = selection.format ?? saved;
  const onto = selection.onto?.get(disk);
  if (onto !== undefined) return { kind: 'onto', path: onto, format: wanted };
  const original = source?.name ?? null;
  const changed = original !== null && selection.format !== undefined && selection.format !== saved;
  const name = names.give(disk, changed ? renamedFor(wanted, original) : (original ?? renamedFor(wanted, disk)));
  if (wanted !== 'qcow2' || source?.dataFile == null) return { kind: 'file', name, format: wanted };
  return { kind: 'file', name, format: wanted, dataFile: names.give(disk, source.dataFile) };
}

/** Gives out names, each once: images of one name, which lay in different folders, get the disk's name before theirs. */
class NameGiver {
  readonly #wanted: readonly (string | null)[];
  readonly #given = new Set<string>();

  constructor(wanted: readonly (string | null)[]) {
    this.#wanted = wanted;
  }

  give(disk: string, name: string): string {
    const shared = this.#wanted.filter((other) => other === name).length > 1 || this.#given.has(name);
    const own = assertSafeName(shared ? `${disk}.${name}` : name);
    const taken = this.#given.has(own) || (shared && this.#wanted.includes(own));
    if (!taken) {
      this.#given.add(own);
      return own;
    }
    const text = `disk ${disk} finds no name of its own; restore it alone: -d ${disk}`;
    throw new RestoreError('NAME_CLASH', text, { disk });
  }
}
