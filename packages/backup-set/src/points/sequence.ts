import { BackupSetError } from '../errors.ts';
import type { Part } from './part-reader.ts';
import type { RestorePoint } from './point.ts';

/**
 * The parts that files of one disk make, in the order that a user gave: a base, and increments each of which builds upon
 * the one before, or, after a differential, upon what that one builds upon.
 *
 * @throws BackupSetError `BAD_SEQUENCE` when they make no disk
 */
export function partsOfSequence(points: readonly RestorePoint[], files: readonly string[]): Part[] {
  const parts = files.map((file) => partOf(points, file));
  const [base] = parts;
  if (base === undefined) throw bad('The sequence names no file.', []);
  if (base.disk.incremental) throw bad(`${base.disk.file} holds only changes: a sequence begins with a base.`, files);
  for (const [place, part] of parts.entries()) {
    const { disk } = part;
    if (files.indexOf(disk.file) !== place) throw bad(`${disk.file} is there twice.`, [disk.file]);
    if (disk.disk !== base.disk.disk)
      throw bad(`${base.disk.file} is of disk ${base.disk.disk}, and ${disk.file} of ${disk.disk}.`, files);
    if (disk.kind === 'raw' && parts.length > 1)
      throw bad(`${disk.file} is a raw image: nothing builds upon one.`, files);
    if (disk.incremental) requireParent(part, parts.slice(0, place));
  }
  return parts;
}

function partOf(points: readonly RestorePoint[], file: string): Part {
  for (const point of points) {
    const disk = point.disks.find((known) => known.file === file);
    if (disk === undefined) continue;
    const fault = point.faults.find((known) => known.disk === disk.disk && known.files.includes(file));
    if (fault !== undefined) throw bad(fault.message, [file]);
    return { point, disk };
  }
  const known = points.flatMap(({ disks }) => disks.map((disk) => disk.file)).join(', ') || 'none';
  throw bad(`${JSON.stringify(file)} is no data file of a restore point in the folder; there are: ${known}.`, [file]);
}

/** The newest file before it that is no differential must be the one that it builds upon. */
function requireParent({ disk }: Part, before: readonly Part[]): void {
  const below = before.findLast(({ point }) => point.level !== 'diff');
  if (below !== undefined && disk.parent === below.point.checkpoint) return;
  const found = below === undefined ? 'nothing' : `${below.disk.file}, which is ${below.point.checkpoint}`;
  throw bad(`${disk.file} builds upon ${disk.parent ?? 'nothing'}, and before it stands ${found}.`, [disk.file]);
}

function bad(text: string, files: readonly string[]): BackupSetError {
  return new BackupSetError('BAD_SEQUENCE', text, { files });
}
