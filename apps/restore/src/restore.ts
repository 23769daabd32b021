import { openBackupSource } from '@virtnbd/backup-set';
import { formatBytes, type ProgressTask, type Session } from '@virtnbd/cli-kit';
import { LocalHost } from '@virtnbd/host';
import { type RestoreEvent, runRestore } from '@virtnbd/restore-engine';

/** The values of the command's flags. */
export interface RestoreFlags {
  /** A folder, or zips. */
  readonly input: string;
  /** Absolute. */
  readonly output: string;
  readonly disk: string | undefined;
  readonly until: string;
  readonly logfile: string;
}

/** Runs the engine, and shows what it tells. */
export async function restore(flags: RestoreFlags, session: Session): Promise<void> {
  const { log, signal } = session;
  const host = new LocalHost();
  await log.attachFile(host.files, flags.logfile);
  const since = performance.now();
  await using source = await openBackupSource(host, flags.input, process.cwd());
  const { point, images } = await runRestore(
    {
      folder: source.folder,
      target: flags.output,
      point: flags.until,
      ...(flags.disk !== undefined && { disk: flags.disk }),
    },
    { host: source.host, signal, onEvent: presenter(session) },
  );
  const seconds = ((performance.now() - since) / 1000).toFixed(1);
  for (const { disk, path } of images) log.info(`disk ${disk} at ${point}: ${path}`);
  log.info(`restored ${images.length === 1 ? '1 disk' : `${images.length} disks`} in ${seconds} s`);
}

function presenter({ log, progress }: Session): (event: RestoreEvent) => void {
  const tasks = new Map<string, ProgressTask>();
  return (event) => {
    switch (event.type) {
      case 'plan':
        for (const { disk, files, virtualSize } of event.plan.images)
          log.info(`disk ${disk}, ${formatBytes(virtualSize)}, from ${files.join(', ')}`);
        return;
      case 'note':
        return log.info(event.message);
      case 'disk':
        tasks.set(event.disk, progress.task(event.disk, event.totalBytes));
        return;
      case 'progress':
        return tasks.get(event.disk)?.add(event.bytes);
      case 'disk-done':
        return tasks.get(event.disk)?.finish();
    }
  };
}
