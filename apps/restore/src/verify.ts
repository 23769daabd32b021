import { openBackupSource } from '@virtnbd/backup-set';
import { ExitCode, formatBytes, type Logger, type ProgressTask, type Session } from '@virtnbd/cli-kit';
import { LocalHost } from '@virtnbd/host';
import { jsonText, type VerifyReport, verifyFolder, visibleText } from '@virtnbd/inspect-engine';
import { printText } from './print-json.ts';

/** Compares every checksum of the folder, as `virtnbd verify` does. */
export async function verify(
  flags: { readonly input: string; readonly until: string; readonly json: boolean },
  { log, signal, progress }: Session,
): Promise<ExitCode> {
  let task: ProgressTask | undefined;
  await using source = await openBackupSource(new LocalHost(), flags.input, process.cwd());
  const report = await verifyFolder(source.host, source.folder, {
    signal,
    // Without --until all points are meant here.
    ...(flags.until !== 'latest' && { until: flags.until }),
    onProgress: ({ done, total }) => {
      task ??= progress.task('verify', total);
      task.update(done);
    },
  });
  task?.finish();
  progress.stop();
  if (flags.json) for (const text of jsonText(report)) await printText(text);
  else tell(report, log);
  return report.verdict === 'ok' ? ExitCode.DONE : ExitCode.FAILED;
}

function tell({ files, damage, points, problems, bytes, verdict }: VerifyReport, log: Logger): void {
  for (const { file, check, verdict: found } of files) {
    if (found === 'ok') log.info(`${visibleText(file)}: ok (${check})`);
  }
  for (const { file, verdict: found, message } of files) {
    if (found === 'not-verifiable') log.warn(`${visibleText(file)}: ${visibleText(message ?? 'not verifiable')}`);
  }
  for (const { file, message, spoils } of damage) {
    const points = visibleText(spoils.join(', ')) || 'no restore point';
    log.error(`${visibleText(file)}: ${visibleText(message)} It spoils ${points}.`);
  }
  for (const { severity, point, message } of problems) {
    if (severity === 'error' && point === undefined) log.error(visibleText(message));
  }
  const whole = points.filter((point) => point.verdict === 'ok').length;
  log.info(`${files.length} files, ${formatBytes(bytes)}, ${whole} of ${points.length} restore points ok: ${verdict}`);
}
