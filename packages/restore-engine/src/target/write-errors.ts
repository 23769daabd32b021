import { HostError } from '@virtnbd/host';
import { RestoreError } from '../errors.ts';

export function noSpace(path: string, cause: unknown): RestoreError {
  const text = `there is no space left for ${path}; make room, or restore elsewhere`;
  return new RestoreError('NO_SPACE', text, { cause });
}

/**
 * Does something to a file that this process writes.
 *
 * @throws RestoreError NO_SPACE, WRITE_FAILED in place of a HostError
 */
export async function writing<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    if (error.code === 'NO_SPACE' || error.code === 'QUOTA') throw noSpace(path, error);
    throw new RestoreError('WRITE_FAILED', `${path} could not be written: ${error.message}`, { cause: error });
  }
}
