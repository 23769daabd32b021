/** What went wrong, stable across versions. Match on this, never on the text of a message. */
export type InspectErrorCode =
  /** Neither a folder nor a file, or nothing at all. */
  | 'NOT_FOUND'
  /** The two points have no disk of the name, or none in common. */
  | 'UNKNOWN_DISK'
  /** A folder without a restore point has nothing to verify. */
  | 'EMPTY'
  /** A stream file that is not what its folder says it is. */
  | 'FOREIGN';

/** The error class of this package. What is wrong in a folder or file comes through as the error of its package. */
export class InspectError extends Error {
  override readonly name = 'InspectError';
  readonly code: InspectErrorCode;
  readonly file?: string;
  readonly disk?: string;

  constructor(code: InspectErrorCode, message: string, fields: { file?: string; disk?: string } = {}) {
    super(message);
    this.code = code;
    if (fields.file !== undefined) this.file = fields.file;
    if (fields.disk !== undefined) this.disk = fields.disk;
  }
}

/** Whether an error tells of the content of a backup rather than of this machine or of our own mistakes. */
export function isDamage(error: unknown): error is Error & { code: string } {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return false;
  if (error.name === 'BackupSetError' || error.name === 'InspectError') return true;
  if (error.name === 'StreamFormatError') return error.code !== 'USAGE';
  return error.name === 'HostError' && damagedOnHost.has(error.code);
}

/** A file that is gone or shorter than a moment ago, or a disk that cannot be read. */
const damagedOnHost: ReadonlySet<string> = new Set(['NOT_FOUND', 'SHORT_READ', 'IO', 'WRONG_KIND', 'TOO_LARGE']);
