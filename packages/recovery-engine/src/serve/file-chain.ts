import { basename, dirname } from 'node:path';
import { BackupSet } from '@virtnbd/backup-set';
import type { Host } from '@virtnbd/host';
import { RecoveryError } from '../errors.ts';
import { type DiskAtPoint, type OpenDiskOptions, openDiskAtPoint } from './disk-at-point.ts';

/**
 * Opens the disk that a list of backup files makes, as the established `virtnbdmap -f full,inc1,inc2` takes it. The files
 * must be the whole chain of the last of them, in order: anything else would be a disk that never was.
 *
 * @param paths base first, all of one folder
 * @throws RecoveryError `SEQUENCE`; as `openDiskAtPoint`
 */
export async function openFileChain(
  host: Host,
  paths: readonly string[],
  options: OpenDiskOptions = {},
): Promise<DiskAtPoint> {
  const [first] = paths;
  if (first === undefined) throw new RecoveryError('SEQUENCE', 'No backup file was named.');
  const folder = dirname(first);
  const stray = paths.find((path) => dirname(path) !== folder);
  if (stray !== undefined) {
    const why = 'only the folder of a chain tells that its files belong together';
    throw new RecoveryError('SEQUENCE', `${stray} does not lie beside ${first}: ${why}. Put them into one folder.`);
  }
  const names = paths.map((path) => basename(path));
  const set = await BackupSet.open(host, folder);
  const { point, disk } = pointOfFile(set, names.at(-1) ?? '');
  const chain = set.chain(point, { disk }).flatMap(({ disks }) => disks.filter((known) => known.disk === disk));
  const files = chain.map(({ file }) => file);
  if (files.join('/') !== names.join('/')) {
    const text = `${names.join(', ')} in ${folder} is not the chain of ${names.at(-1)}; that is: ${files.join(', ')}. Name these files, in this order.`;
    throw new RecoveryError('SEQUENCE', text, { point, disk });
  }
  return await openDiskAtPoint(set, disk, point, options);
}

function pointOfFile(set: BackupSet, name: string): { point: string; disk: string } {
  for (const { id, disks } of set.points) {
    const found = disks.find(({ file }) => file === name);
    if (found !== undefined) return { point: id, disk: found.disk };
  }
  const problem = set.problems.find(({ files }) => files.includes(name));
  const why = problem?.message ?? 'There is no such file, or it is none of a backup.';
  throw new RecoveryError('SEQUENCE', `${name} belongs to no restore point of ${set.folder}: ${why}`, { file: name });
}
