import type { Host } from '@virtnbd/host';
import { BackupSetError } from './errors.ts';
import { checkpointNumber } from './names.ts';
import { type ChainOptions, chainOf, linkFaults, orderPoints } from './points/chain.ts';
import { choosePoint } from './points/choose-point.ts';
import { type OpenedDisk, type OpenLayersOptions, openParts } from './points/layers.ts';
import { legacyPoints } from './points/legacy-points.ts';
import { listFolder, type OpenSetOptions } from './points/listing.ts';
import { besideProblems, commonFaults, manifestPoint } from './points/manifest-points.ts';
import { type Part, partsOf } from './points/part-reader.ts';
import { pipedPoints } from './points/piped-points.ts';
import type { PointDisk, RecordedCheckpoint, RestorePoint, SetProblem } from './points/point.ts';
import { SalvageSession } from './points/salvage.ts';
import { partsOfSequence } from './points/sequence.ts';
import type { StoredCheckpoint } from './records/checkpoint-files.ts';

/** A backup folder as it was when it was opened: its restore points and what is wrong with it. It is never written. */
export class BackupSet {
  readonly folder: string;
  /** All points, those with faults among them, parents before children. */
  readonly points: readonly RestorePoint[];
  readonly problems: readonly SetProblem[];
  /** The checkpoints that the points were committed with, oldest first: what an increment can start from. */
  readonly checkpoints: readonly RecordedCheckpoint[];
  /** The XML files of the checkpoint folder, for redefinition, parents first. */
  readonly storedCheckpoints: readonly StoredCheckpoint[];
  readonly #host: Host;

  private constructor(host: Host, folder: string, content: Content) {
    this.#host = host;
    this.folder = folder;
    this.points = content.points;
    this.problems = content.problems;
    this.checkpoints = content.checkpoints;
    this.storedCheckpoints = content.storedCheckpoints;
  }

  /**
   * Lists the folder, reads manifests and, of files without one, headers. Nothing is decided by file times.
   *
   * @throws HostError when the folder cannot be read
   */
  static async open(host: Host, folder: string, options: OpenSetOptions = {}): Promise<BackupSet> {
    return new BackupSet(host, folder, await readContent(host, folder, options));
  }

  /** As `open`; a folder that is not there is one without points. */
  static async openIfThere(host: Host, folder: string, options: OpenSetOptions = {}): Promise<BackupSet> {
    if ((await host.files.stat(folder)) !== null) return await BackupSet.open(host, folder, options);
    return new BackupSet(host, folder, { points: [], problems: [], checkpoints: [], storedCheckpoints: [] });
  }

  /**
   * The points needed to bring one back, base first.
   *
   * @param text names the point, as for `point`
   * @throws BackupSetError `EMPTY`, `UNKNOWN_POINT`, `AMBIGUOUS_POINT`, `UNKNOWN_DISK`, `GAP`, `CYCLE`, `FOREIGN`, `DUPLICATE`, `DAMAGED`,
   *   `MISSING_FILE`
   */
  chain(text: string, options: ChainOptions = {}): RestorePoint[] {
    return chainOf(this.points, this.point(text), options);
  }

  /**
   * The point that a user's words name: its id, `latest`, or a date or time, which means the newest point not later than
   * it. See choose-point.ts for the rule.
   *
   * @throws BackupSetError `UNKNOWN_POINT`, `AMBIGUOUS_POINT`, `EMPTY`
   */
  point(text: string): RestorePoint {
    return choosePoint(this.points, text, this.folder);
  }

  /**
   * Opens what a disk consists of at a point. Stream files of a point with a manifest are compared with it, and every
   * later read is checked by chunk checksums; others are read once for the adler32 of their `.chksum`, or, where there
   * is none, a note says that they were not checked. The caller closes the result.
   *
   * @throws BackupSetError as `chain`, and `CHECKSUM`, `BAD_CHECKSUM_FILE`; StreamFormatError; HostError
   */
  async openLayers(disk: string, point: string, options: OpenLayersOptions = {}): Promise<OpenedDisk> {
    return await openParts(this.#host, this.folder, partsOf(this.chain(point, { disk }), disk), disk, options);
  }

  /** The disk that files of one disk make, and how: for `openSequence`. @throws BackupSetError `BAD_SEQUENCE` */
  sequence(files: readonly string[]): readonly { point: RestorePoint; disk: PointDisk }[] {
    return partsOfSequence(this.points, files);
  }

  /**
   * Opens what files of one disk make, base first, in place of a point's chain; checked as `openLayers` does.
   *
   * @throws BackupSetError `BAD_SEQUENCE` when they make no disk; otherwise as `openLayers`
   */
  async openSequence(files: readonly string[], options: OpenLayersOptions = {}): Promise<OpenedDisk> {
    const parts = this.sequence(files);
    return await openParts(this.#host, this.folder, parts, parts[0]?.disk.disk ?? '', options);
  }

  /** Begins to read what is left of damaged files. The caller closes the session. */
  salvage(options: { signal?: AbortSignal | undefined } = {}): SalvageSession {
    const parts = (disk: string, point: string): Part[] =>
      partsOf(this.chain(point, { disk, despiteFaults: true }), disk);
    return new SalvageSession(this.#host, this.folder, parts, options.signal);
  }
}

interface Content {
  points: RestorePoint[];
  problems: SetProblem[];
  checkpoints: RecordedCheckpoint[];
  storedCheckpoints: StoredCheckpoint[];
}

async function readContent(host: Host, folder: string, options: OpenSetOptions): Promise<Content> {
  const listing = await listFolder(host, folder, options);
  const { manifests, sizes, storedCheckpoints } = listing;
  const legacy = legacyPoints({
    data: listing.legacyData,
    hasCopyXml: listing.hasCopyXml,
    manifestPoints: new Set([...manifests.map(({ point }) => point), ...listing.damagedPoints.map(({ id }) => id)]),
  });
  const inFolder = [...manifests.map((manifest) => manifestPoint(manifest, sizes)), ...legacy.points];
  const known = options.piped === true ? pipedOnly(folder, inFolder, storedCheckpoints) : inFolder;
  const checkpoints = recordedCheckpoints(known, storedCheckpoints);
  const all = [...known, ...listing.damagedPoints];
  const faults = [...commonFaults(manifests), ...linkFaults(all, checkpoints)];
  const points = orderPoints(all).map((point) => ({
    ...point,
    date: point.date || dateOf(point, checkpoints),
    faults: [...point.faults, ...faults.filter((fault) => fault.point === point.id)],
  }));
  const problems = [
    ...listing.problems,
    ...legacy.problems,
    ...points.flatMap((point) => point.faults),
    ...manifests.flatMap((manifest) => besideProblems(manifest, sizes)),
  ];
  return { points, problems, checkpoints, storedCheckpoints };
}

/** Where both kinds of points were, an increment could follow one and be taken for following the other. */
function pipedOnly(
  folder: string,
  inFolder: readonly RestorePoint[],
  stored: readonly StoredCheckpoint[],
): RestorePoint[] {
  const [other] = inFolder;
  if (other === undefined) return pipedPoints(stored);
  const text = `${folder} holds a backup (${other.id}): run a backup to standard output in a folder of its own.`;
  throw new BackupSetError('EXISTS', text, { point: other.id });
}

/** Fulls and increments were each committed with a checkpoint; when it was made, the manifest or its XML tells. */
function recordedCheckpoints(
  points: readonly RestorePoint[],
  stored: readonly StoredCheckpoint[],
): RecordedCheckpoint[] {
  return orderPoints(points)
    .filter(({ id, level }) => (level === 'full' || level === 'inc') && checkpointNumber(id) !== null)
    .map(({ id, manifest }) => {
      const xml = stored.find(({ name }) => name === id);
      const identity = manifest === null ? xml : manifest.checkpoint;
      return { name: id, creationTime: identity?.creationTime ?? null, run: manifest?.run ?? null };
    });
}

function dateOf(point: RestorePoint, checkpoints: readonly RecordedCheckpoint[]): string {
  const time = checkpoints.find(({ name }) => name === point.id)?.creationTime ?? null;
  return time === null ? '' : new Date(time * 1000).toISOString();
}
