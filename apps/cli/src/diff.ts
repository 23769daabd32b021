import { openBackupSource } from '@virtnbd/backup-set';
import { ExitCode, type ProgressTask, type Session } from '@virtnbd/cli-kit';
import { LocalHost } from '@virtnbd/host';
import { type DiffProgress, diffPoints, jsonText } from '@virtnbd/inspect-engine';
import { Output } from './output.ts';
import { diffLines } from './render/diff.ts';
import { painter } from './render/style.ts';

/** The values of the command's flags and arguments. */
export interface DiffFlags {
  /** A folder, or zips. */
  readonly folder: string;
  readonly from: string;
  readonly to: string;
  readonly content: boolean;
  readonly disk: string | undefined;
  readonly json: boolean;
  readonly nocolor: boolean;
}

/** Runs the engine, and shows what it tells. */
export async function diff(flags: DiffFlags, session: Session): Promise<ExitCode> {
  const { folder, from, to, content, disk } = flags;
  const output = new Output({ colour: !flags.nocolor });
  const onProgress = presenter(session);
  await using source = await openBackupSource(new LocalHost(), folder, process.cwd());
  const report = await diffPoints(source.host, source.folder, from, to, {
    signal: session.signal,
    content,
    disk,
    onProgress,
  });
  session.progress.stop();
  if (flags.json) for (const text of jsonText(report)) await output.write(text);
  else await output.lines(diffLines(report, painter(output.colour)));
  return ExitCode.DONE;
}

/** A bar for each pass over a disk. */
function presenter({ progress }: Session): (progress: DiffProgress) => void {
  let task: ProgressTask | undefined;
  let last: DiffProgress | undefined;
  return (now) => {
    const another =
      last?.disk !== now.disk || last.phase !== now.phase || last.total !== now.total || now.done < last.done;
    if (another) {
      task?.finish();
      task = progress.task(now.phase === 'compare' ? now.disk : `${now.disk} checksums`, now.total);
    }
    last = now;
    task?.update(now.done);
    if (now.done >= now.total) task?.finish();
  };
}
