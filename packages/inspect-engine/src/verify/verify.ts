import { BackupSet, BackupSetError, type RestorePoint, type SetProblem } from '@virtnbd/backup-set';
import type { Host } from '@virtnbd/host';
import { RangeList } from '@virtnbd/virtual-disk';
import { InspectError } from '../errors.ts';
import { type CheckedFile, checkFile } from './check-file.ts';
import { type FileJob, jobsOf, jobsOfPoint } from './jobs.ts';
import { type Damage, type FileVerdict, type PointVerdict, type VerifyReport, worstVerdict } from './report.ts';
import { spoiledPoints } from './spoiled-points.ts';

export interface VerifyProgress {
  /** Bytes read so far, and in all. */
  done: number;
  total: number;
}

export interface VerifyOptions {
  signal?: AbortSignal | undefined;
  /** Only this point and what it needs; all points when absent. */
  until?: string | undefined;
  /** Decode every compressed frame, too. */
  deep?: boolean | undefined;
  /** Files that are read at the same time; default 2. */
  jobs?: number | undefined;
  onProgress?: ((progress: VerifyProgress) => void) | undefined;
}

/** What is to be read. */
interface Scope {
  points: readonly RestorePoint[];
  jobs: readonly FileJob[];
  problems: SetProblem[];
}

/**
 * Reads the files of a folder and compares every checksum. Memory is bounded: two blocks a file that is being read, and
 * the index of its frames. Nothing is written.
 *
 * @throws InspectError `EMPTY`; BackupSetError `UNKNOWN_POINT`; HostError; `signal.reason`
 */
export async function verifyFolder(host: Host, folder: string, options: VerifyOptions = {}): Promise<VerifyReport> {
  const { signal, until, deep = false } = options;
  const set = await BackupSet.open(host, folder, signal === undefined ? {} : { signal });
  if (set.points.length === 0) {
    throw new InspectError('EMPTY', `${folder} holds no restore point: there is nothing to verify.`);
  }
  const scope = until === undefined ? allOf(set) : scopeOf(set, set.point(until));
  const checked = await checkAll(host, folder, scope.jobs, options);
  const damage: Damage[] = [];
  for (const file of checked) if (file.verdict === 'damaged') damage.push(await damageOf(host, set, file, signal));
  const points = scope.points.map((point) => judge(set, point, checked, damage, scope.problems));
  const loose = scope.problems.filter(({ severity, point }) => severity === 'error' && point === undefined);
  return {
    schema: 'virtnbd-verify',
    version: 1,
    folder,
    until: until === undefined ? null : set.point(until).id,
    deep,
    verdict: worstVerdict([
      ...points.map(({ verdict }) => verdict),
      ...checked.map(({ verdict }) => verdict),
      ...(loose.length > 0 ? (['damaged'] as const) : []),
    ]),
    bytes: checked.reduce((sum, { fileBytes }) => sum + (fileBytes ?? 0), 0),
    files: checked.map(toVerdict),
    damage,
    points,
    problems: scope.problems,
  };
}

function allOf(set: BackupSet): Scope {
  // The XML of a checkpoint is written after the commit, and by other means again: that it is missing is a note.
  const missing = new Set(set.problems.filter(({ code }) => code === 'MISSING_FILE').flatMap(({ files }) => files));
  const jobs = jobsOf(set.points).filter(({ role, file }) => role !== 'checkpoint-xml' || !missing.has(file));
  return { points: set.points, jobs, problems: [...set.problems] };
}

function scopeOf(set: BackupSet, point: RestorePoint): Scope {
  const chains = new Map<string, RestorePoint[]>();
  for (const { disk } of point.disks) {
    try {
      chains.set(disk, set.chain(point.id, { disk }));
    } catch (error) {
      if (!(error instanceof BackupSetError)) throw error; // `judge` says it
    }
  }
  const jobs = jobsOfPoint(point, chains).filter(({ role }) => role !== 'checkpoint-xml');
  const ids = new Set([point.id, ...[...chains.values()].flat().map(({ id }) => id)]);
  return { points: [point], jobs, problems: set.problems.filter((problem) => ids.has(problem.point ?? '')) };
}

async function checkAll(
  host: Host,
  folder: string,
  jobs: readonly FileJob[],
  options: VerifyOptions,
): Promise<CheckedFile[]> {
  const { deep = false, onProgress } = options;
  const passes = (job: FileJob): number => (deep && job.role === 'stream' ? 2 : 1);
  const total = jobs.reduce((sum, job) => sum + job.size * passes(job), 0);
  const failed = new AbortController();
  const signal = options.signal === undefined ? failed.signal : AbortSignal.any([options.signal, failed.signal]);
  let done = 0;
  const checked: (CheckedFile | undefined)[] = jobs.map(() => undefined);
  const queue = jobs.map((job, place) => ({ job, place }));
  const work = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const { job, place } = next;
      let mine = 0;
      const advance = (bytes: number): void => {
        const most = job.size * passes(job);
        const step = Math.min(bytes, most - mine);
        mine += step;
        done += step;
        onProgress?.({ done, total });
      };
      checked[place] = await checkFile(host, folder, job, { deep, signal, onBytes: advance });
      advance(job.size * passes(job));
    }
  };
  const workers = Array.from({ length: Math.max(1, Math.min(options.jobs ?? 2, jobs.length)) }, () =>
    work().catch((error: unknown) => {
      failed.abort(error);
      throw error;
    }),
  );
  await Promise.allSettled(workers);
  await Promise.all(workers);
  return checked.filter((file) => file !== undefined);
}

async function damageOf(
  host: Host,
  set: BackupSet,
  checked: CheckedFile,
  signal: AbortSignal | undefined,
): Promise<Damage> {
  const { file, point, disk, message, unusable, fileRanges, role } = checked;
  // A disk cannot be read without the checksums of its data file.
  const data = role === 'chunks' ? dataOf(set, point, file) : null;
  const known = set.points.find(({ id }) => id === point)?.disks.find((each) => each.disk === (data ?? disk));
  const subject = data === null ? checked : { ...checked, disk: data, unusable: true };
  const located = checked.diskRanges !== null && disk !== null;
  const whole = RangeList.of(known === undefined ? [] : [{ start: 0, length: known.virtualSize }]);
  const diskRanges = located && checked.diskRanges !== null ? checked.diskRanges : whole;
  const spoiled = await spoiledPoints(host, set, subject, { signal });
  return {
    file,
    point,
    disk: subject.disk,
    message: message ?? '',
    located,
    unusable: unusable || data !== null,
    fileRanges,
    diskRanges,
    diskBytes: diskRanges.bytes,
    ...spoiled,
  };
}

/** The disk whose checksums a chunk file holds. */
function dataOf(set: BackupSet, id: string, chunkFile: string): string | null {
  const point = set.points.find((known) => known.id === id);
  const data = point?.manifest?.files.find(({ chunks }) => chunks?.name === chunkFile)?.name;
  return point?.disks.find(({ file }) => file === data)?.disk ?? null;
}

function judge(
  set: BackupSet,
  point: RestorePoint,
  checked: readonly CheckedFile[],
  damage: readonly Damage[],
  problems: readonly SetProblem[],
): PointVerdict {
  const spoiling = damage.filter(({ spoils }) => spoils.includes(point.id)).map(({ message }) => message);
  const own = problems.filter((problem) => problem.severity === 'error' && problem.point === point.id);
  const broken: string[] = [];
  const unverifiable: string[] = [];
  for (const { disk } of point.disks) {
    try {
      const files = set
        .chain(point.id, { disk })
        .flatMap(({ disks }) => disks.flatMap((d) => (d.disk === disk ? d.file : [])));
      for (const { file, verdict, message } of checked) {
        if (verdict === 'not-verifiable' && files.includes(file)) unverifiable.push(message ?? file);
      }
    } catch (error) {
      if (!(error instanceof BackupSetError)) throw error;
      broken.push(error.message);
    }
  }
  const found = [...new Set([...spoiling, ...own.map(({ message }) => message)])];
  // That a chain is broken says the same again in other words, unless the file at fault is not of this folder.
  const faults = found.length > 0 ? found : broken;
  if (faults.length > 0) return { id: point.id, verdict: 'damaged', reasons: faults };
  const verdict = unverifiable.length > 0 ? 'not-verifiable' : 'ok';
  return { id: point.id, verdict, reasons: [...new Set(unverifiable)] };
}

function toVerdict({
  file,
  point,
  disk,
  role,
  fileBytes,
  check,
  verdict,
  framesDecoded,
  message,
}: CheckedFile): FileVerdict {
  return { file, point, disk, role, fileBytes, check, verdict, framesDecoded, message };
}
