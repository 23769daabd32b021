import type { Manifest, ManifestFile } from '../records/manifest.ts';
import type { PointDisk, RestorePoint, SetProblem } from './point.ts';

/**
 * The restore point that a manifest tells of.
 *
 * @param sizes bytes of each file that is there, by name
 */
export function manifestPoint(manifest: Manifest, sizes: ReadonlyMap<string, number>): RestorePoint {
  const { point, level, parent, created, disks } = manifest;
  return {
    id: point,
    level,
    checkpoint: disks.find(({ header }) => header !== null)?.header?.checkpointName ?? manifest.checkpoint?.name ?? '',
    parent,
    date: created,
    manifest,
    disks: disks.map((disk) => toDisk(manifest, disk)),
    faults: disks.flatMap(({ disk, file }) => diskFaults(manifest, disk, file, sizes)),
  };
}

function toDisk({ files, parent }: Manifest, disk: Manifest['disks'][number]): PointDisk {
  return {
    disk: disk.disk,
    file: disk.file,
    kind: disk.kind,
    incremental: !disk.base,
    virtualSize: disk.virtualSize,
    format: disk.format,
    ...(disk.imageName === null ? {} : { imageName: disk.imageName }),
    ...(disk.images === undefined ? {} : { images: disk.images }),
    parent: disk.base ? null : parent,
    fileSize: files.find(({ name }) => name === disk.file)?.size ?? 0,
  };
}

/** Without its data file or the checksums of it, a disk cannot be read. */
function diskFaults(manifest: Manifest, disk: string, file: string, sizes: ReadonlyMap<string, number>): SetProblem[] {
  const data = manifest.files.find(({ name }) => name === file);
  const chunks = manifest.files.find(({ name }) => name === data?.chunks?.name);
  return [data, chunks].flatMap((needed) => {
    const problem = needed === undefined ? null : fileProblem(manifest.point, needed, sizes);
    return problem === null ? [] : [{ ...problem, disk, severity: 'error' as const }];
  });
}

/** Other files of the point that are missing or have another size: worth a note, the disks can be read without. */
export function besideProblems(manifest: Manifest, sizes: ReadonlyMap<string, number>): SetProblem[] {
  return manifest.files
    .filter(({ role }) => role !== 'stream' && role !== 'raw' && role !== 'chunks')
    .flatMap((file) => fileProblem(manifest.point, file, sizes) ?? []);
}

function fileProblem(point: string, file: ManifestFile, sizes: ReadonlyMap<string, number>): SetProblem | null {
  const { name, size } = file;
  const found = sizes.get(name);
  if (found === undefined) {
    const message = `${name}, a file of ${point}, is missing. Restore it from another copy of the folder.`;
    return { code: 'MISSING_FILE', message, files: [name], point, severity: 'note' };
  }
  if (found === size) return null;
  const message = `${name}, a file of ${point}, has ${found} bytes and should have ${size}: it was cut off or changed.`;
  return { code: 'DAMAGED', message, files: [name], point, severity: 'note' };
}

/** Faults that show only when points with a manifest are seen together: other VMs, files that two of them claim. */
export function commonFaults(manifests: readonly Manifest[]): SetProblem[] {
  const faults: SetProblem[] = [];
  const owners = new Map<string, Manifest>();
  const uuids = new Set(manifests.map(({ domain }) => domain.uuid));
  for (const manifest of manifests) {
    const { point, domain } = manifest;
    const own = `${point}.manifest.json`;
    if (uuids.size > 1) {
      const message = `${own} is of the VM ${domain.name} (${domain.uuid}), and the folder holds points of other VMs, too.`;
      faults.push({ code: 'FOREIGN', message, files: [own], point, severity: 'error' });
    }
    for (const { name } of manifest.files) {
      const other = owners.get(name);
      if (other === undefined) {
        owners.set(name, manifest);
        continue;
      }
      const message = `${name} is claimed by the manifests of ${other.point} and ${point}.`;
      const fault = { code: 'DUPLICATE' as const, message, files: [name], severity: 'error' as const };
      faults.push({ ...fault, point }, { ...fault, point: other.point });
    }
  }
  return faults;
}
