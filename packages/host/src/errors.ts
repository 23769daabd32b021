/** What went wrong, for programs to match on. */
export type HostErrorCode =
  | 'PROGRAM_FAILED' // it ran and ended with another exit code than 0, by a signal, or before it was ready
  | 'PROGRAM_MISSING'
  | 'OUTPUT_LIMIT' // it printed more than the caller wants to hold
  | 'TIMEOUT'
  | 'NOT_FOUND'
  | 'EXISTS'
  | 'NOT_EMPTY'
  | 'NO_SPACE'
  | 'QUOTA'
  | 'PERMISSION'
  | 'READ_ONLY'
  | 'WRONG_KIND' // a folder, FIFO, socket or device where a file is needed, or the other way round
  | 'TOO_LARGE'
  | 'SHORT_READ'
  | 'CROSS_DEVICE'
  | 'LIMIT' // out of file descriptors, processes or memory
  | 'BAD_NAME'
  | 'BAD_ARGUMENT'
  | 'CLOSED'
  | 'HOST_KEY' // the other host's ssh key is not known here, or is another one
  | 'LOGIN' // ssh may not log in
  | 'UNREACHABLE'
  | 'LINK_LOST' // the connection to the other host is gone
  | 'PIPE_CLOSED' // whoever reads the other end has gone
  | 'IO';

export interface HostErrorFields {
  /** The file or folder. */
  path?: string | undefined;
  program?: string | undefined;
  exitCode?: number | undefined;
  /** The signal that ended the program. */
  signal?: string | undefined;
  /** The end of what the program said. */
  stderr?: string | undefined;
  /** The system's name of the error, `ENOSPC` for instance. */
  errno?: string | undefined;
  cause?: unknown;
}

/** Every error of this package. Match by `code`; `errno` holds the system's own name where there is one. */
export class HostError extends Error {
  override readonly name = 'HostError';
  readonly code: HostErrorCode;
  readonly path?: string;
  readonly program?: string;
  readonly exitCode?: number;
  readonly signal?: string;
  readonly stderr?: string;
  readonly errno?: string;

  constructor(code: HostErrorCode, message: string, fields: HostErrorFields = {}) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.code = code;
    if (fields.path !== undefined) this.path = fields.path;
    if (fields.program !== undefined) this.program = fields.program;
    if (fields.exitCode !== undefined) this.exitCode = fields.exitCode;
    if (fields.signal !== undefined) this.signal = fields.signal;
    if (fields.stderr !== undefined) this.stderr = fields.stderr;
    if (fields.errno !== undefined) this.errno = fields.errno;
  }
}

/** The system's name of an error (`ENOSPC`), or undefined. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

// errno → [code, what happened and what to do]
const meanings: Readonly<Record<string, readonly [HostErrorCode, string]>> = {
  ENOSPC: ['NO_SPACE', 'no space left on the file system; free some, or choose another folder'],
  EDQUOT: ['QUOTA', 'the disk quota is used up; free some space, raise the quota, or choose another folder'],
  EACCES: ['PERMISSION', 'permission denied; run as a user who may, or change the owner or mode'],
  EPERM: ['PERMISSION', 'operation not permitted; run as a user who may, or change the owner, mode or attributes'],
  EROFS: ['READ_ONLY', 'the file system is read-only; mount it writable, or choose another folder'],
  ENOENT: ['NOT_FOUND', 'no such file or folder; check the path'],
  EEXIST: ['EXISTS', 'it exists already and is not replaced; remove it, or choose another name'],
  ENOTEMPTY: ['NOT_EMPTY', 'the folder is not empty'],
  ENOTDIR: ['WRONG_KIND', 'a part of the path is not a folder; check the path'],
  EISDIR: ['WRONG_KIND', 'it is a folder; a file is needed'],
  ENXIO: ['WRONG_KIND', 'it is a socket, a FIFO or a device that is not there; a file is needed'],
  ELOOP: ['WRONG_KIND', 'symbolic links lead in a circle; check the path'],
  EFBIG: ['TOO_LARGE', 'larger than the file system or the process limit (ulimit -f) permits'],
  EXDEV: ['CROSS_DEVICE', 'source and target are on different file systems; copy instead'],
  EMFILE: ['LIMIT', 'too many open files; raise the limit (ulimit -n)'],
  ENFILE: ['LIMIT', 'the system has too many open files'],
  ENOMEM: ['LIMIT', 'out of memory'],
  EAGAIN: ['LIMIT', 'a system resource is used up (ulimit -u); try again later'],
  ENAMETOOLONG: ['BAD_NAME', 'the name is too long for the file system'],
  ERR_INVALID_ARG_VALUE: ['BAD_NAME', 'the name holds a NUL byte'],
  EBADF: ['CLOSED', 'the file is closed, or not open for this'],
  EIO: ['IO', 'input/output error; check the disk and the system log'],
  ESTALE: ['IO', 'the network file system lost the file; check its server'],
  EBUSY: ['IO', 'in use; stop what uses it'],
  ETXTBSY: ['IO', 'the program is being written'],
  EINVAL: ['IO', 'the file system does not support this'],
};

/** A path as it may stand in a message: quoted and escaped when it holds control characters. */
export function printable(path: string): string {
  return /[\p{Cc}\p{Zl}\p{Zp}]/u.test(path) ? JSON.stringify(path) : path;
}

/**
 * Turns an error of node:fs into a HostError; a HostError passes through.
 *
 * @param doing what was tried, with its verb: "cannot write"
 */
export function fileError(error: unknown, doing: string, path: string): HostError {
  if (error instanceof HostError) return error;
  const errno = errnoOf(error);
  const [code, text] = (errno === undefined ? undefined : meanings[errno]) ?? ['IO', String(error)];
  const name = errno !== undefined && /^E[A-Z0-9]+$/.test(errno) ? ` (${errno})` : '';
  return new HostError(code, `${doing} ${printable(path)}: ${text}${name}`, { path, errno, cause: error });
}

/** Runs `work` and turns what it throws into a HostError about `path`. */
export async function naming<T>(doing: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fileError(error, doing, path);
  }
}
