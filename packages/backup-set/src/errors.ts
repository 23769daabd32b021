/** Stable codes of {@link BackupSetError}; match by these, never by a message. */
export type BackupSetErrorCode =
  /** a name that may not be used as a file name */
  | 'BAD_NAME'
  /** a manifest that is not what MANIFEST.md says */
  | 'BAD_MANIFEST'
  /** a verdict that cannot be read */
  | 'BAD_VERDICT'
  /** an intent that cannot be read */
  | 'BAD_INTENT'
  /** a `.cpt` list or a checkpoint's XML that cannot be read */
  | 'BAD_CHECKPOINT_FILE'
  /** a chunk checksum file or a `.chksum` that cannot be read */
  | 'BAD_CHECKSUM_FILE'
  /** another living run holds the lock */
  | 'LOCKED'
  /** a lock file of which nobody can say whether its owner lives */
  | 'LOCK_DAMAGED'
  /** the lock is no longer ours */
  | 'LOCK_LOST'
  /** nothing in the folder that could be restored */
  | 'EMPTY'
  | 'UNKNOWN_POINT'
  /** a date that does not tell which point is meant */
  | 'AMBIGUOUS_POINT'
  | 'UNKNOWN_DISK'
  /** an increment whose parent is not there */
  | 'GAP'
  /** files, given by hand, that make no disk */
  | 'BAD_SEQUENCE'
  /** parent links that lead in a circle */
  | 'CYCLE'
  /** a file or point of another chain, VM or disk */
  | 'FOREIGN'
  /** two files or points that claim the same place */
  | 'DUPLICATE'
  /** a file that the manifest names is not there */
  | 'MISSING_FILE'
  /** a file whose structure, size or header is not what it should be */
  | 'DAMAGED'
  /** a checksum that does not match */
  | 'CHECKSUM'
  /** a file that a transaction would write is there already */
  | 'EXISTS'
  /** an intent that belongs to a living run */
  | 'BUSY'
  /** a step of a transaction at the wrong time */
  | 'STATE';

/** Where and why; all that is known of it. */
export interface BackupSetErrorFields {
  cause?: unknown;
  /** the path or name of the file at fault */
  file?: string;
  /** all files that are at fault, when there are several */
  files?: readonly string[];
  point?: string;
  disk?: string;
}

/** Whatever goes wrong with a backup folder itself; failures of the host's file system come through as they are. */
export class BackupSetError extends Error {
  readonly code: BackupSetErrorCode;
  readonly file: string | undefined;
  readonly files: readonly string[];
  readonly point: string | undefined;
  readonly disk: string | undefined;

  constructor(code: BackupSetErrorCode, message: string, fields: BackupSetErrorFields = {}) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.name = 'BackupSetError';
    this.code = code;
    this.file = fields.file ?? fields.files?.[0];
    this.files = fields.files ?? (fields.file === undefined ? [] : [fields.file]);
    this.point = fields.point;
    this.disk = fields.disk;
  }
}
