import type { Level } from '../names.ts';
import type { Manifest } from '../records/manifest.ts';

/** A moment that can be brought back. */
export interface RestorePoint {
  /**
   * The checkpoint's name, `copy`, or the unix time of a diff. An offline increment of the established tool has the
   * name of its parent; it is `PARENT+offline` here.
   */
  id: string;
  level: Level;
  /** The checkpoint name that the stream headers say (a copy says one, too); empty when there is no header. */
  checkpoint: string;
  /** The point whose data this one's increments build upon; null when there is none. */
  parent: string | null;
  /** ISO 8601, from the manifest or a header; empty when neither says. Only shown and used to order: it decides nothing. */
  date: string;
  /** null for a point of the established tool. */
  manifest: Manifest | null;
  disks: readonly PointDisk[];
  /** What makes the point unusable as a whole, or one of its disks (`SetProblem.disk`). */
  faults: readonly SetProblem[];
}

/** One disk at a point. */
export interface PointDisk {
  disk: string;
  file: string;
  kind: 'stream' | 'raw';
  /** False: a base, also in mid-chain. */
  incremental: boolean;
  /** Bytes. */
  virtualSize: number;
  /** Format of the source image, when known. */
  format?: string;
  /** Base name of the source image, when the manifest says it. */
  imageName?: string;
  /** Paths of the source image and of those that it is based on, when the manifest says them. */
  images?: readonly string[];
  /** The parent that the header names; null for a base. */
  parent: string | null;
  /** Bytes that the file has. */
  fileSize: number;
}

export type SetProblemCode =
  /** left by a run that did not end; `recover` clears it, if the run was ours: then `point` is what it was to make */
  | 'UNFINISHED'
  /** a file with our `writer`, or a raw image, that no manifest names */
  | 'NO_MANIFEST'
  /** an increment whose parent is not there */
  | 'GAP'
  /** a file of another chain, disk or VM, or one that was renamed */
  | 'FOREIGN'
  | 'DUPLICATE'
  /** which point a file belongs to cannot be told */
  | 'AMBIGUOUS'
  | 'MISSING_FILE'
  | 'DAMAGED'
  /** a checksum or another file beside a data file that is not there */
  | 'ORPHAN';

/** Something in the folder that is not as it should be. */
export interface SetProblem {
  code: SetProblemCode;
  message: string;
  files: readonly string[];
  point?: string;
  disk?: string;
  /** A note spoils no restore point. */
  severity: 'error' | 'note';
}

/** A checkpoint that the folder's points were committed with. */
export interface RecordedCheckpoint {
  name: string;
  /** Seconds since 1970; null when the folder does not tell (a point of the established tool without its XML). */
  creationTime: number | null;
  /** The run that made it, when the folder tells: two fulls of one second differ in nothing else. */
  run: string | null;
}
