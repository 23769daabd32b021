import type { FileRole, ManifestFile, PointDisk, RestorePoint } from '@virtnbd/backup-set';

/** One file to verify. */
export interface FileJob {
  file: string;
  point: string;
  role: FileRole;
  /** The disk whose data it holds. */
  disk: PointDisk | null;
  /** What the manifest says of it; null in a point without one. */
  entry: ManifestFile | null;
  /** Bytes that it should have. */
  size: number;
}

/** The files of whole points, each once. */
export function jobsOf(points: readonly RestorePoint[]): FileJob[] {
  return unique(points.flatMap((point) => [...dataJobs(point), ...sideJobs(point)]));
}

/**
 * The files that one point needs: its own, and of the points below it what its disks are made of.
 *
 * @param chains of each disk, base first
 */
export function jobsOfPoint(point: RestorePoint, chains: ReadonlyMap<string, readonly RestorePoint[]>): FileJob[] {
  const jobs = [...chains].flatMap(([disk, chain]) =>
    chain.flatMap((link) => {
      const data = dataJobs(link).filter((job) => job.disk?.disk === disk);
      const names = data.map(({ entry }) => entry?.chunks?.name);
      return [...data, ...sideJobs(link).filter(({ file, role }) => role === 'chunks' && names.includes(file))];
    }),
  );
  return unique([...jobs, ...dataJobs(point), ...sideJobs(point)]);
}

function dataJobs(point: RestorePoint): FileJob[] {
  return point.disks.map((disk) => {
    const entry = point.manifest?.files.find(({ name }) => name === disk.file) ?? null;
    const size = entry?.size ?? disk.fileSize;
    return { file: disk.file, point: point.id, role: disk.kind, disk, entry, size };
  });
}

function sideJobs({ id, manifest }: RestorePoint): FileJob[] {
  return (manifest?.files ?? []).flatMap((entry) =>
    entry.role === 'stream' || entry.role === 'raw'
      ? []
      : [{ file: entry.name, point: id, role: entry.role, disk: null, entry, size: entry.size }],
  );
}

function unique(jobs: readonly FileJob[]): FileJob[] {
  return [...new Map(jobs.map((job) => [job.file, job])).values()];
}
