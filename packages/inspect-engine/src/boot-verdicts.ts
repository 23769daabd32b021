import { BackupSetError, type BootVerdict, type RestorePoint, readVerdict, type SetProblem } from '@virtnbd/backup-set';
import type { Host } from '@virtnbd/host';

/** What the last test boot of each point found, by the point's id, and what is wrong with such records. */
export async function bootVerdicts(
  host: Host,
  folder: string,
  points: readonly RestorePoint[],
): Promise<{ verdicts: ReadonlyMap<string, BootVerdict>; problems: SetProblem[] }> {
  const verdicts = new Map<string, BootVerdict>();
  const problems: SetProblem[] = [];
  for (const { id } of points) {
    try {
      const verdict = await readVerdict(host, folder, id);
      if (verdict !== null) verdicts.set(id, verdict.boot);
    } catch (error) {
      if (!(error instanceof BackupSetError)) throw error;
      // It says nothing about what a restore gives back.
      problems.push({ code: 'DAMAGED', message: error.message, files: error.files, point: id, severity: 'note' });
    }
  }
  return { verdicts, problems };
}
