import type { OpenMode } from '../host.ts';
import { SftpFlag } from './sftp-codec.ts';

const { READ, WRITE, APPEND, CREAT, EXCL } = SftpFlag;

/** Each way to open a file: the protocol's flags for it, and what messages call it. */
export const OPENINGS: Readonly<Record<OpenMode, { readonly flags: number; readonly doing: string }>> = {
  read: { flags: READ, doing: 'cannot open' },
  create: { flags: READ | WRITE | CREAT | EXCL, doing: 'cannot create' },
  'append-new': { flags: WRITE | CREAT | APPEND, doing: 'cannot open for writing' },
  'read-write': { flags: READ | WRITE, doing: 'cannot open for writing' },
  // As O_EXCL without O_CREAT reaches open(2) there.
  claim: { flags: READ | WRITE | EXCL, doing: 'cannot open for writing' },
};
