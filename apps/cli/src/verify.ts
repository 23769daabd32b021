import { openBackupSource } from '@virtnbd/backup-set';
import { ExitCode, type ProgressTask, type Session } from '@virtnbd/cli-kit';
import { LocalHost } from '@virtnbd/host';
import { jsonText, verifyFolder } from '@virtnbd/inspect-engine';
import { Output } from './output.ts';
import { painter } from './render/style.ts';
import { verifyLines } from './render/verify.ts';

/** The values of the command's flags and arguments. */
export interface VerifyFlags {
  /** A folder, or zips. */
  readonly folder: string;
  readonly until: string | undefined;
  readonly deep: boolean;
  readonly jobs: number;
  readonly json: boolean;
  readonly nocolor: boolean;
}

/** Runs the engine, and shows what it tells. */
export async function verify(flags: VerifyFlags, { signal, progress }: Session): Promise<ExitCode> {
  const output = new Output({ colour: !flags.nocolor });
  let task: ProgressTask | undefined;
  const { until, deep, jobs } = flags;
  await using source = await openBackupSource(new LocalHost(), flags.folder, process.cwd());
  const report = await verifyFolder(source.host, source.folder, {
    signal,
    until,
    deep,
    jobs,
    onProgress: ({ done, total }) => {
      task ??= progress.task('verify', total);
      task.update(done);
    },
  });
  task?.finish();
  progress.stop();
  if (flags.json) for (const text of jsonText(report)) await output.write(text);
  else await output.lines(verifyLines(report, output.width, painter(output.colour)));
  return report.verdict === 'ok' ? ExitCode.DONE : ExitCode.FAILED;
}
