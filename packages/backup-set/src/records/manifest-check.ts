import { chunkFileNameOf, parseFileName } from '../names.ts';
import { JsonShapeError } from './checked-json.ts';
import type { Manifest, ManifestDisk } from './manifest.ts';

/**
 * What no single value of a manifest shows: that its parts fit each other.
 *
 * @throws JsonShapeError
 */
export function checkManifest(manifest: Manifest): void {
  const { point, level, checkpoint, parent, disks, files } = manifest;
  const follows = level === 'inc' || level === 'diff';
  if (follows !== (parent !== null)) throw new JsonShapeError('an inc or diff has a parent, a full or copy has none');
  if (parent === point) throw new JsonShapeError('the point names itself as its parent');
  const expected = level === 'copy' ? 'copy' : level === 'diff' ? null : (checkpoint?.name ?? '');
  if (expected === null ? !/^\d+$/.test(point) : point !== expected) {
    throw new JsonShapeError(`the point ${point} does not fit its level ${level} and its checkpoint`);
  }
  if ((level === 'copy' || level === 'diff') && checkpoint !== null) {
    throw new JsonShapeError(`a ${level} creates no checkpoint`);
  }
  unique(
    'disk',
    disks.map(({ disk }) => disk),
  );
  unique(
    'file',
    files.map(({ name }) => name),
  );
  for (const disk of disks) checkDisk(manifest, disk);
  const owned = new Set(disks.map(({ file }) => file));
  for (const { name, role, chunks } of files) {
    const data = role === 'stream' || role === 'raw';
    if (data && !owned.has(name)) throw new JsonShapeError(`the data file ${name} belongs to no disk`);
    if (chunks && chunks.name !== chunkFileNameOf(name)) {
      throw new JsonShapeError(`the chunk checksums of ${name} are in a file of another name`);
    }
    if (chunks && !files.some((file) => file.name === chunks.name && file.sha256 === chunks.sha256)) {
      throw new JsonShapeError(`the chunk checksum file ${chunks.name} is not among the files`);
    }
  }
}

function checkDisk({ level, point, files }: Manifest, disk: ManifestDisk): void {
  const parsed = parseFileName(disk.file);
  const whole = level === 'full' || level === 'copy';
  if (parsed?.kind !== 'data' || parsed.partial || parsed.disk !== disk.disk) {
    throw new JsonShapeError(`the file ${disk.file} is not one of disk ${disk.disk}`);
  }
  // Raw images are copies whatever the level; a disk that is new in mid-chain begins with a full of its own.
  const fits =
    parsed.ident === null ? parsed.level === level || disk.base : parsed.level === level && parsed.ident === point;
  if (!fits) throw new JsonShapeError(`the file ${disk.file} does not fit a ${level} named ${point}`);
  if ((whole || disk.kind === 'raw' || parsed.ident === null) && !disk.base) {
    throw new JsonShapeError(`the file ${disk.file} holds the whole disk and is not marked so`);
  }
  if ((disk.kind === 'raw') !== (disk.header === null)) throw new JsonShapeError(`disk ${disk.disk} needs its header`);
  const file = files.find(({ name }) => name === disk.file);
  if (file?.role !== disk.kind)
    throw new JsonShapeError(`the file ${disk.file} is not among the files as ${disk.kind}`);
}

function unique(what: string, names: readonly string[]): void {
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new JsonShapeError(`the ${what} ${twice} is there twice`);
}
