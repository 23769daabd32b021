import type { BootVerdict, Level, SetProblem } from '@virtnbd/backup-set';

/**
 * `complete`: every disk can be brought back, as far as headers tell. `damaged`: a file of it, or one that it builds
 * upon, is damaged or missing. `foreign`: a file is of another chain, disk or VM. `orphan`: it builds upon something that
 * is not in the folder. `partial`: a run that did not end; it is no restore point.
 */
export type PointState = 'complete' | 'partial' | 'damaged' | 'foreign' | 'orphan';

/** Sums over files, in bytes. */
export interface Amounts {
  /** Size of the files. */
  fileBytes: number;
  /** Bytes of the disk in data frames. */
  dataBytes: number;
  /** Bytes of the disk in zero frames. */
  zeroBytes: number;
  /** What the data frames take in the files. */
  storedBytes: number;
  /** dataBytes / storedBytes; null without data. */
  ratio: number | null;
}

/** What restoring a disk at a point would take. */
export interface RestoreDescription {
  possible: boolean;
  /** Points whose files are needed, base first. */
  points: string[];
  /** Those files. */
  files: string[];
  /** Why it is not possible: a stable code (of BackupSetError, or `DAMAGED`), and in words. */
  code: string | null;
  reason: string | null;
}

export interface DiskDescription extends Amounts {
  disk: string;
  file: string;
  kind: 'stream' | 'raw';
  /** Whether the file holds the whole disk. */
  base: boolean;
  virtualSize: number;
  format: string | null;
  imageName: string | null;
  compression: string | null;
  /** null when the file cannot be read. */
  frames: number | null;
  /** What `verify` can compare: `chunks` of a manifest, `adler32` of a `.chksum`, or nothing. */
  checksum: 'chunks' | 'adler32' | 'none';
  /** What is wrong with the file itself. */
  problem: string | null;
  restore: RestoreDescription;
}

export interface PointDescription extends Amounts {
  id: string;
  level: Level;
  /** As the manifest or header says it, ISO 8601 as a rule; null when neither does. */
  date: string | null;
  parent: string | null;
  children: string[];
  checkpoint: string | null;
  state: PointState;
  /** Why it is not complete. */
  reason: string | null;
  /** Name and version of the program that made it; null for the established tool. */
  writer: string | null;
  /** The file with the VM's configuration. */
  config: string | null;
  /** What the last test boot of it found; null when none is recorded. */
  boot: BootVerdict | null;
  disks: DiskDescription[];
}

/** A run that did not end. */
export interface UnfinishedRun {
  id: string;
  state: 'partial';
  files: { name: string; fileBytes: number }[];
  fileBytes: number;
}

/** A file that belongs to no restore point. */
export interface StrayFile {
  name: string;
  fileBytes: number;
  state: 'damaged' | 'foreign' | 'orphan';
  reason: string;
}

/** Points that hang together by parent links, from one that needs no other, or from a gap. */
export interface ChainDescription {
  base: string;
  points: string[];
  /** The worst of its points. */
  state: PointState;
  fileBytes: number;
}

/**
 * How often each region of a disk was saved: columns of `count` numbers. Increments and differentials count as changes;
 * `dataBytes` and `storedBytes` are sums over all files of the disk.
 */
export interface DiskRegions {
  disk: string;
  /** Bytes; the largest of all points. */
  virtualSize: number;
  /** Bytes of a region; the last one may be shorter. */
  cellBytes: number;
  count: number;
  /** Files that hold changes of this disk and can be read: the most that `changes` can reach. */
  increments: number;
  /** Files that hold a change in the region. */
  changes: number[];
  changedBytes: number[];
  dataBytes: number[];
  storedBytes: number[];
}

/** What a backup folder holds (SCHEMA.md, `virtnbd-folder`). */
export interface FolderDescription {
  schema: 'virtnbd-folder';
  version: 1;
  folder: string;
  domain: { name: string | null; uuid: string | null };
  /** The point that `latest` means. */
  latest: string | null;
  totals: Amounts & { points: number; complete: number; disks: number };
  points: PointDescription[];
  chains: ChainDescription[];
  unfinished: UnfinishedRun[];
  strays: StrayFile[];
  problems: SetProblem[];
  regions: DiskRegions[];
}
