import type { BlockSize } from '@virtnbd/nbd-protocol';
import { NbdError } from './errors.ts';

/** @throws NbdError `USAGE` where the range is no range of bytes within the export */
export function checkRange(what: string, offset: number, length: number, size: number): void {
  const valid = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (valid && length <= size - offset) return;
  const message = `${what} at ${offset}, ${length} bytes: outside the NBD export of ${size} bytes`;
  throw new NbdError('USAGE', message, { offset, length });
}

/** @throws NbdError `USAGE` where the range is not made of whole blocks */
export function checkAligned(what: string, offset: number, length: number, { minimum }: BlockSize): void {
  if (offset % minimum === 0 && length % minimum === 0) return;
  const message = `${what} at ${offset}, ${length} bytes: the NBD server takes only multiples of ${minimum}`;
  throw new NbdError('USAGE', message, { offset, length });
}

export function unsupported(what: string): NbdError {
  return new NbdError('UNSUPPORTED', `the NBD server does not offer ${what}`);
}

export function alignDown(value: number, alignment: number): number {
  return value - (value % alignment);
}
