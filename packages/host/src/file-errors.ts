import { HostError, printable } from './errors.ts';
import type { OpenMode } from './host.ts';

/* What every open file refuses, wherever it lies. */

export function requireOffset(offset: number, path: string): void {
  if (Number.isSafeInteger(offset) && offset >= 0) return;
  throw new HostError('BAD_ARGUMENT', `${offset} is no offset in ${printable(path)}`, { path });
}

export function shortRead(path: string, offset: number, wanted: number, got: number): HostError {
  const text = `${printable(path)} ends at ${offset + got}: ${wanted} bytes wanted from ${offset}, ${got} found; the file is cut short`;
  return new HostError('SHORT_READ', text, { path });
}

export function requireWritable(mode: OpenMode, path: string): void {
  if (mode !== 'read') return;
  throw new HostError('BAD_ARGUMENT', `${printable(path)} is open for reading only`, { path });
}

export function requireAnywhere(mode: OpenMode, path: string): void {
  if (mode !== 'append-new') return;
  throw new HostError('BAD_ARGUMENT', `${printable(path)} is open for appending only`, { path });
}
