import { basename } from 'node:path';
import { HostError, printable } from '../errors.ts';
import type { EntryKind } from '../host.ts';

/** The message is about the file that was asked for; nobody knows the temporary name. */
export function aboutTarget(error: unknown, temporary: string, path: string): unknown {
  if (!(error instanceof HostError) || error.path !== temporary) return error;
  const message = error.message.replaceAll(printable(temporary), printable(path));
  return new HostError(error.code, message, { path, cause: error.cause });
}

export function kindOf(mode: number): EntryKind {
  switch (mode & 0o170000) {
    case 0o100000:
      return 'file';
    case 0o040000:
      return 'folder';
    case 0o120000:
      return 'link';
    case 0o060000:
      return 'block';
    default:
      return 'other';
  }
}

export function wrongKind(doing: string, path: string): HostError {
  const text = `${doing} ${printable(path)}: a file or a block device is needed`;
  return new HostError('WRONG_KIND', basename(path) === '' ? `${text}, not a folder` : text, { path });
}

export function notFound(doing: string, path: string): HostError {
  return new HostError('NOT_FOUND', `${doing} ${printable(path)}: no such file or folder; check the path`, { path });
}
