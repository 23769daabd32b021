import { join } from 'node:path';
import { parseFileName, readHeaderKeys } from '@virtnbd/backup-set';
import type { Host } from '@virtnbd/host';

/**
 * The headers of all stream files in a folder, whatever their keys, in the order of the files' names. Nothing is checked
 * that a header does not need to be read; raw images have none.
 *
 * @param options.disk only files of this disk
 * @param options.onUnreadable told of files that begin like a stream file and cannot be read
 * @throws HostError
 */
export async function dumpHeaders(
  host: Host,
  folder: string,
  options: { signal?: AbortSignal; disk?: string; onUnreadable: (message: string) => void },
): Promise<Record<string, unknown>[]> {
  const headers: Record<string, unknown>[] = [];
  for (const { name, kind } of await host.files.list(folder)) {
    options.signal?.throwIfAborted();
    const parsed = parseFileName(name);
    if (parsed?.kind !== 'data' || parsed.partial || (kind !== 'file' && kind !== 'link')) continue;
    if (options.disk !== undefined && parsed.disk !== options.disk) continue;
    await using file = await host.files.open(join(folder, name), 'read');
    const keys = await readHeaderKeys({ size: await file.size(), read: (offset, buffer) => file.read(offset, buffer) });
    if (typeof keys === 'string') options.onUnreadable(`${name} is damaged: ${keys}`);
    else if (keys !== null) headers.push(Object.fromEntries(keys));
  }
  return headers;
}
