import { BackupSet, openBackupSource } from '@virtnbd/backup-set';
import { ExitCode, formatBytes, type ProgressTask, type Session } from '@virtnbd/cli-kit';
import { LocalHost } from '@virtnbd/host';
import { visibleText } from '@virtnbd/inspect-engine';
import { type CopyProgress, copyOut } from '@virtnbd/recovery-engine';
import { serveListener } from './serve-events.ts';

/** The values of the command's flags and arguments; paths on this host are absolute. */
export interface CpFlags {
  /** A folder, or zips; as it was given. */
  readonly folder: string;
  readonly sources: readonly string[];
  readonly target: string;
  readonly point: string;
  readonly disk: string | undefined;
  readonly partition: string | undefined;
  readonly recursive: boolean;
  readonly force: boolean;
  readonly owner: boolean;
  readonly scratchdir: string;
}

/** Runs the engine, and shows what it tells. */
export async function cp(flags: CpFlags, session: Session): Promise<ExitCode> {
  const { log, progress, signal } = session;
  await using source = await openBackupSource(new LocalHost(), flags.folder, process.cwd());
  const { host } = source;
  const set = await BackupSet.open(host, source.folder, { signal });
  const { point, disk, partition, sources, target, recursive, force, owner } = flags;
  let skipped = 0;
  let task: ProgressTask | undefined;
  const result = await copyOut(
    {
      set,
      point,
      choice: { disk, partition },
      sources,
      target,
      recursive,
      force,
      owner,
      scratchFolder: flags.scratchdir,
    },
    {
      host,
      signal,
      onEvent: serveListener(session),
      onProgress: ({ done, total }: CopyProgress) => {
        task ??= progress.task('cp', total);
        task.update(done);
      },
      onSkip: (path, reason) => {
        skipped += 1;
        log.warn(`${visibleText(path)} is left out: ${reason}`);
      },
    },
  );
  task?.finish();
  log.info(`${result.files} ${result.files === 1 ? 'file' : 'files'}, ${formatBytes(result.bytes)}, in ${target}`);
  return skipped === 0 ? ExitCode.DONE : ExitCode.FAILED;
}
