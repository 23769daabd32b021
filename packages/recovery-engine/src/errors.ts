/** What went wrong, stable across versions. Match on this, never on the text of a message. */
export type RecoveryErrorCode =
  /** Requests that cannot be: two exports of one name, a point without disks. */
  | 'USAGE'
  /** The files that were given are no chain, or not all of it. */
  | 'SEQUENCE'
  /** The disk holds no file system that could be mounted, or several of which one must be named. */
  | 'CHOOSE_PARTITION'
  /** There is no partition of that number, or nothing in it that could be mounted. */
  | 'UNKNOWN_PARTITION'
  /** What is needed is not installed, or the kernel has it not. */
  | 'MISSING_TOOL'
  /** The folder or device is used already, or is none. */
  | 'TARGET'
  /** A program that is needed has ended, by itself or by somebody's hand. */
  | 'ENDED'
  /** Something that was mounted or made could not be taken away. */
  | 'LEFTOVER'
  /** Bytes of a backup file that are not those that were saved, or that cannot be read. */
  | 'DAMAGED'
  /** The point has no configuration of the VM. */
  | 'NO_CONFIGURATION'
  /** The user that qemu runs as cannot reach the disks. */
  | 'UNREACHABLE'
  /** libguestfs could not do what it was told. */
  | 'GUEST_FILES'
  /** A path inside the guest that is not there, or of another kind than is needed. */
  | 'GUEST_PATH';

export interface RecoveryErrorFields {
  readonly cause?: unknown;
  readonly disk?: string | undefined;
  readonly point?: string | undefined;
  /** The backup file. */
  readonly file?: string | undefined;
  /** Where in the file, in bytes, if that is known. */
  readonly fileOffset?: number | undefined;
}

/** The error class of this package. What is wrong with a folder as a whole comes through as the error of its package. */
export class RecoveryError extends Error {
  override readonly name = 'RecoveryError';
  readonly code: RecoveryErrorCode;
  readonly disk?: string;
  readonly point?: string;
  readonly file?: string;
  readonly fileOffset?: number;

  constructor(code: RecoveryErrorCode, message: string, fields: RecoveryErrorFields = {}) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.code = code;
    if (fields.disk !== undefined) this.disk = fields.disk;
    if (fields.point !== undefined) this.point = fields.point;
    if (fields.file !== undefined) this.file = fields.file;
    if (fields.fileOffset !== undefined) this.fileOffset = fields.fileOffset;
  }
}
