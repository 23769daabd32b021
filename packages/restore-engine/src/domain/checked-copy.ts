import { createHash } from 'node:crypto';
import { BackupSetError } from '@virtnbd/backup-set';
import { type Host, HostError, type HostFile } from '@virtnbd/host';
import { RestoreError } from '../errors.ts';

const BLOCK = 1 << 20;
/** Far more than any firmware, kernel or initrd has. */
const MAX_BYTES = 1 << 30;

/** A file of a backup folder. */
export interface CheckedFile {
  readonly host: Host;
  readonly path: string;
  readonly name: string;
  /** 64 hex digits; null where the folder does not tell. */
  readonly sha256: string | null;
}

/** Reads a file to its end, and compares it with its checksum. @throws BackupSetError CHECKSUM; RestoreError DAMAGED */
export async function check(file: CheckedFile): Promise<void> {
  await readChecked(file, async () => undefined);
}

/**
 * Copies a file into a new one, compared with its checksum, if it has one; on stable storage when it resolves. When it
 * rejects, the new file is gone.
 *
 * @throws BackupSetError CHECKSUM; RestoreError TARGET_EXISTS, DAMAGED for a size that no such file has; HostError
 */
export async function copyChecked(
  from: CheckedFile,
  to: { readonly host: Host; readonly path: string },
  signal: AbortSignal | undefined,
): Promise<void> {
  await using target = await create(to.host, to.path);
  try {
    await readChecked(from, async (block) => {
      signal?.throwIfAborted();
      await target.write([block]);
    });
    await target.sync();
  } catch (error) {
    await to.host.files.remove(to.path);
    throw error;
  }
}

async function readChecked(file: CheckedFile, onBlock: (block: Uint8Array) => Promise<void>): Promise<void> {
  await using source = await file.host.files.open(file.path, 'read');
  const size = await source.size();
  if (size > MAX_BYTES)
    throw new RestoreError('DAMAGED', `${file.name} is larger than any file to start from: ${size} bytes`);
  const hash = createHash('sha256');
  for (let offset = 0; offset < size; offset += BLOCK) {
    const block = Buffer.allocUnsafe(Math.min(BLOCK, size - offset));
    await source.read(offset, block);
    hash.update(block);
    await onBlock(block);
  }
  if (file.sha256 === null || hash.digest('hex') === file.sha256) return;
  const text = `${file.name} is not the file that the manifest names: it is damaged. Use another copy of the folder.`;
  throw new BackupSetError('CHECKSUM', text, { file: file.name });
}

async function create(host: Host, path: string): Promise<HostFile> {
  try {
    return await host.files.open(path, 'create');
  } catch (cause) {
    if (!(cause instanceof HostError) || cause.code !== 'EXISTS') throw cause;
    throw new RestoreError('TARGET_EXISTS', `${path} is there already; it is not replaced`, { cause });
  }
}
