import { type BackupSet, BackupSetError, type OpenLayersOptions, type RestorePoint } from '@virtnbd/backup-set';
import type { Host } from '@virtnbd/host';
import { planRestore, planTargets, type RestorePlan } from '../plan.ts';
import type { RestoreRequest } from '../request.ts';
import { type OpenedContent, openContent } from './content.ts';
import { type Hole, holesOf } from './holes.ts';
import { type PointFiles, readImageInfo, readPointFiles, sourceImages } from './point-files.ts';
import { salvagedContent } from './salvaged-content.ts';

/** Where what is restored comes from, decided and ready to be opened. */
export interface RestoreSource extends AsyncDisposable {
  readonly plan: RestorePlan;
  readonly files: PointFiles;
  /** What the disk held. */
  open(disk: string, options: OpenLayersOptions): Promise<OpenedContent>;
  /** Where what was opened is not known to be right. */
  holes(disk: string): readonly Hole[];
  /** Files beside the disks that are damaged and were left out, in words. */
  readonly leftOut: readonly string[];
}

const nothingToClose = async (): Promise<void> => undefined;
const noHoles = (): readonly Hole[] => [];

/** A restore point, whole. */
export async function pointSource(
  host: Host,
  set: BackupSet,
  point: RestorePoint,
  request: RestoreRequest,
): Promise<RestoreSource> {
  const files = await readPointFiles(host, set, point);
  const plan = planRestore(set, point, request, await sourceImages(point, files));
  const open = (disk: string, options: OpenLayersOptions) => openContent(() => set.openLayers(disk, point.id, options));
  return { plan, files, open, holes: noHoles, leftOut: [], [Symbol.asyncDispose]: nothingToClose };
}

/** Files of one disk, in the order that the user gave. The image is named after the disk. */
export async function sequenceSource(
  host: Host,
  set: BackupSet,
  sequence: readonly string[],
  request: RestoreRequest,
): Promise<RestoreSource> {
  const parts = set.sequence(sequence);
  const last = parts.at(-1);
  if (last === undefined) throw new BackupSetError('BAD_SEQUENCE', 'The sequence names no file.');
  const info = await readImageInfo(host, set, last.point, last.disk.disk);
  const imageInfos = new Map(info === null ? [] : [[last.disk.disk, info]]);
  const images = planTargets([{ ...last.disk, files: sequence }], request, new Map());
  return {
    plan: { point: last.point.id, date: last.point.date, images },
    files: { domainXml: null, imageInfos },
    open: (_disk, options) => openContent(() => set.openSequence(sequence, options)),
    holes: noHoles,
    leftOut: [],
    [Symbol.asyncDispose]: nothingToClose,
  };
}

/** What is left of a restore point whose files may be damaged. */
export async function salvageSource(
  host: Host,
  set: BackupSet,
  point: RestorePoint,
  request: RestoreRequest,
  signal: AbortSignal | undefined,
): Promise<RestoreSource> {
  const leftOut: string[] = [];
  const onDamage = (message: string): void => void leftOut.push(message);
  const files = await readPointFiles(host, set, point, onDamage);
  const plan = planRestore(set, point, request, await sourceImages(point, files, onDamage), { despiteFaults: true });
  const session = set.salvage({ signal });
  const holes = new Map<string, Hole[]>();
  return {
    plan,
    files,
    open: async (disk) => {
      const layers = await session.layers(disk, point.id);
      holes.set(disk, holesOf(layers));
      const notes = layers.flatMap(({ problem }) => problem ?? []);
      return { content: salvagedContent(layers), notes, [Symbol.asyncDispose]: nothingToClose };
    },
    holes: (disk) => holes.get(disk) ?? [],
    leftOut,
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  };
}
