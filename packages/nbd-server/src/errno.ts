import { errnoNumber } from '@virtnbd/nbd-protocol';

/** Reasons that are of use to who writes; every other failure of a source is EIO. */
const FOR_WRITES: ReadonlyMap<string, string> = new Map([
  ['ENOSPC', 'ENOSPC'],
  ['NO_SPACE', 'ENOSPC'],
  ['EDQUOT', 'ENOSPC'],
  ['QUOTA', 'ENOSPC'],
  ['EFBIG', 'ENOSPC'],
  ['ENOMEM', 'ENOMEM'],
]);

export const EPERM = errnoNumber('EPERM');
export const EIO = errnoNumber('EIO');
export const EINVAL = errnoNumber('EINVAL');
export const ENOSPC = errnoNumber('ENOSPC');
export const EOVERFLOW = errnoNumber('EOVERFLOW');

/** The NBD error value for what a source rejected with. */
export function sourceErrno(error: unknown, writing: boolean): number {
  if (!writing || typeof error !== 'object' || error === null) return EIO;
  for (const field of ['errno', 'code']) {
    const value: unknown = Reflect.get(error, field);
    const name = typeof value === 'string' ? FOR_WRITES.get(value) : undefined;
    if (name !== undefined) return errnoNumber(name);
  }
  return EIO;
}
