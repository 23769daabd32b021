import { join } from 'node:path';
import { type Host, HostError } from '@virtnbd/host';
import { BackupSetError } from '../errors.ts';
import { checkpointListName, checkpointNumber } from '../names.ts';
import { JsonShapeError, JsonValue } from './checked-json.ts';
import { type CheckpointDescription, describeCheckpoint } from './checkpoint-xml.ts';

/** One file of the checkpoint folder. */
export interface StoredCheckpoint extends CheckpointDescription {
  file: string;
  xml: string;
}

const LIST_LIMIT = 1024 * 1024;
const XML_LIMIT = 4 * 1024 * 1024;

/**
 * Reads `DOMAIN.cpt`, the list of checkpoint names, oldest first; an absent file is an empty list.
 *
 * @throws BackupSetError `BAD_CHECKPOINT_FILE`
 */
export async function readCheckpointList(host: Host, folder: string, domain: string): Promise<string[]> {
  const file = checkpointListName(domain);
  try {
    const bytes = await host.files.readSmall(join(folder, file), LIST_LIMIT);
    return JsonValue.parse(bytes).list(100_000, (name) => name.text(255));
  } catch (cause) {
    if (cause instanceof HostError && cause.code === 'NOT_FOUND') return [];
    if (!(cause instanceof JsonShapeError)) throw cause;
    const text = `${file} is not a list of checkpoint names: ${cause.message}. Restore it from another copy.`;
    throw new BackupSetError('BAD_CHECKPOINT_FILE', text, { file, cause });
  }
}

/** Writes `DOMAIN.cpt` the way the established tool reads it. Writing the same list again changes nothing. */
export async function writeCheckpointList(
  host: Host,
  folder: string,
  domain: string,
  names: readonly string[],
): Promise<void> {
  const text = `[${names.map((name) => JSON.stringify(name)).join(', ')}]`;
  await host.files.writeAtomic(join(folder, checkpointListName(domain)), text, { mode: 0o600 });
}

/** The name of a checkpoint's file. @throws BackupSetError `BAD_NAME` */
export function checkpointFileName(name: string): string {
  if (checkpointNumber(name) !== null) return `${name}.xml`;
  const text = `${JSON.stringify(name)} is not the name of a checkpoint of ours (virtnbdbackup.N).`;
  throw new BackupSetError('BAD_NAME', text, { file: name });
}

/** Writes `CPT.xml` into the checkpoint folder, which is made (0700) when it is not there. */
export async function writeCheckpointXml(
  host: Host,
  checkpointFolder: string,
  name: string,
  xml: string,
): Promise<void> {
  await host.files.makeFolder(checkpointFolder, { mode: 0o700, recursive: true });
  await host.files.writeAtomic(join(checkpointFolder, checkpointFileName(name)), xml, { mode: 0o600 });
}

/**
 * The checkpoints of a checkpoint folder, by number, so that parents come first. Files of other names are passed over;
 * an absent folder is empty.
 *
 * @param unreadable called for a file that is damaged or says another name than its own
 */
export async function readCheckpointFolder(
  host: Host,
  checkpointFolder: string,
  unreadable: (error: BackupSetError) => void,
): Promise<StoredCheckpoint[]> {
  const found: StoredCheckpoint[] = [];
  for (const name of await checkpointNames(host, checkpointFolder)) {
    const file = checkpointFileName(name);
    try {
      const bytes = await host.files.readSmall(join(checkpointFolder, file), XML_LIMIT);
      const xml = Buffer.from(bytes).toString('utf8');
      const description = describeCheckpoint(xml, file);
      if (description.name !== name) {
        const text = `${file} describes the checkpoint ${description.name}, not the one it is named after.`;
        throw new BackupSetError('BAD_CHECKPOINT_FILE', text, { file });
      }
      found.push({ ...description, file, xml });
    } catch (error) {
      if (error instanceof BackupSetError) unreadable(error);
      else if (error instanceof HostError && (error.code === 'TOO_LARGE' || error.code === 'WRONG_KIND')) {
        unreadable(new BackupSetError('BAD_CHECKPOINT_FILE', error.message, { file, cause: error }));
      } else throw error;
    }
  }
  return found;
}

async function checkpointNames(host: Host, checkpointFolder: string): Promise<string[]> {
  if ((await host.files.stat(checkpointFolder))?.kind !== 'folder') return [];
  return (await host.files.list(checkpointFolder))
    .filter(({ name }) => name.endsWith('.xml'))
    .map(({ name }) => name.slice(0, -'.xml'.length))
    .filter((name) => checkpointNumber(name) !== null)
    .sort((a, b) => (checkpointNumber(a) ?? 0) - (checkpointNumber(b) ?? 0));
}
