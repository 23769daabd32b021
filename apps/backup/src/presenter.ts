import type { BackupEvent, BackupForecast } from '@virtnbd/backup-engine';
import { formatBytes, type ProgressTask, type Session } from '@virtnbd/cli-kit';

/** Turns events into lines and bars, one bar a disk. */
export function presenter({ log, progress }: Session): (event: BackupEvent) => void {
  const tasks = new Map<string, ProgressTask>();
  return (event) => {
    switch (event.type) {
      case 'step':
        return log.debug(`step: ${event.step}`);
      case 'info':
        return log.info(event.message);
      case 'warning':
        return log.warn(event.message);
      case 'frozen':
        return log.info(`froze ${event.fileSystems} file systems of the guest`);
      case 'thawed':
        return log.info(`thawed the guest after ${event.frozenMs} ms`);
      case 'disk': {
        const { disk, dataBytes, zeroBytes, virtualSize } = event;
        const sizes = `${formatBytes(dataBytes)} of data, ${formatBytes(zeroBytes)} of zeroes`;
        log.info(`disk ${disk} of ${formatBytes(virtualSize)}: ${sizes} to save`);
        tasks.set(disk, progress.task(disk, dataBytes));
        return;
      }
      case 'progress':
        return tasks.get(event.disk)?.add(event.bytes);
      case 'disk-done':
        tasks.get(event.disk)?.finish();
        return log.info(`disk ${event.disk}: saved as ${event.file}, ${formatBytes(event.fileSize)}`);
      case 'proving':
        return log.info(`disk ${event.disk}: comparing ${formatBytes(event.bytes)} of what a restore would give`);
      case 'proven':
        return log.info(`proven: ${formatBytes(event.bytes)} (${event.percent} %) come back as they are on the disks`);
    }
  };
}

/** What a dry run says. */
export function forecastLines(forecast: BackupForecast): string[] {
  const { domain, state, level, folder, point, parent, checkpoint, removes, disks, bootFiles, estimate } = forecast;
  return [
    `the VM ${domain.name} is ${state}; a ${level} would make the restore point ${point} in ${folder}`,
    parent === null ? 'it would follow no other point' : `it would save what has changed since ${parent}`,
    ...(checkpoint === null ? [] : [`it would create the checkpoint ${checkpoint}`]),
    ...(removes.length === 0 ? [] : [`it would remove the chain of checkpoints ${removes.join(', ')}`]),
    ...disks.map(
      ({ disk, bytes, virtualSize, file, whole }) =>
        `disk ${disk} of ${formatBytes(virtualSize)}: ${whole ? 'all of it, at most' : 'changes of'} ${formatBytes(bytes)}, as ${file}`,
    ),
    ...bootFiles.map((path) => `it would save ${path}`),
    `estimated size: ${estimate} bytes (${formatBytes(estimate)}), before compression`,
  ];
}
