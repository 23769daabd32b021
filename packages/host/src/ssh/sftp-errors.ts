import { HostError, type HostErrorCode, printable } from '../errors.ts';
import { SftpError } from './sftp-client.ts';
import { SftpStatus } from './sftp-codec.ts';

/** A code that the protocol has no status for: it says FAILURE, and a look at the file system tells why. */
export type Finding = 'EXISTS' | 'NOT_EMPTY' | 'NO_SPACE' | 'READ_ONLY' | 'WRONG_KIND' | 'BUSY';

const TEXTS: Readonly<Record<Finding, string>> = {
  BUSY: 'in use; stop what uses it',
  EXISTS: 'it exists already and is not replaced; remove it, or choose another name',
  NOT_EMPTY: 'the folder is not empty',
  NO_SPACE: 'no space left on the file system; free some, or choose another folder',
  READ_ONLY: 'the file system is mounted read-only; choose another folder',
  WRONG_KIND: 'it is not of the kind that is needed here; check the path',
};

/**
 * Turns an error of the SFTP server into a HostError; all others pass through.
 *
 * @param doing what was tried, with its verb: "cannot write"
 * @param find why a request failed that the server calls a failure and no more
 */
export async function sftpFailure(
  error: unknown,
  doing: string,
  path: string,
  find: () => Promise<Finding | null> = async () => null,
): Promise<unknown> {
  if (!(error instanceof SftpError)) return error;
  const make = (code: HostErrorCode, text: string): HostError =>
    new HostError(code, `${doing} ${printable(path)}: ${text}`, { path, cause: error });
  if (error.status === SftpStatus.NO_SUCH_FILE) return make('NOT_FOUND', 'no such file or folder; check the path');
  if (error.status === SftpStatus.PERMISSION_DENIED)
    return make('PERMISSION', 'permission denied; log in as a user who may, or change the owner or mode');
  const finding = await find().catch(() => null);
  if (finding === 'BUSY')
    return new HostError('IO', `${doing} ${printable(path)}: ${TEXTS.BUSY}`, { path, errno: 'EBUSY', cause: error });
  if (finding !== null) return make(finding, TEXTS[finding]);
  return make('IO', `the ssh server there says: ${error.message}`);
}
