import { assertSafeName } from '@virtnbd/backup-set';
import { RestoreError } from '../errors.ts';

export const TRACE_LIMIT = 1 << 20;
const FORMAT = 'virtnbd-restore-trace';

/** The names of the files that a restore makes, as the bytes of its trace. */
export function encodeTrace(files: readonly string[]): string {
  return `${JSON.stringify({ format: FORMAT, version: 1, files }, null, 2)}\n`;
}

/**
 * Reads a trace. The file lies where anybody may have put it: only names that a restore gives to unfinished files are
 * taken from it.
 *
 * @param path for messages
 * @throws RestoreError TARGET_BUSY when it cannot be read
 */
export function decodeTrace(bytes: Uint8Array, path: string): string[] {
  try {
    const trace: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    if (!isTrace(trace)) throw new TypeError('it is no trace of a restore');
    return trace.files.map((name) => {
      if (!name.endsWith('.partial')) throw new TypeError(`${JSON.stringify(name)} is no unfinished file`);
      return assertSafeName(name);
    });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const text = `${path}, left by a restore that was interrupted, cannot be used (${why}); remove it, and the files *.partial beside it`;
    throw new RestoreError('TARGET_BUSY', text, { cause });
  }
}

function isTrace(value: unknown): value is { files: string[] } {
  if (typeof value !== 'object' || value === null || !('files' in value) || !('format' in value)) return false;
  const { files, format } = value;
  return format === FORMAT && Array.isArray(files) && files.every((name) => typeof name === 'string');
}
