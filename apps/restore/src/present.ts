import { formatBytes, type Logger, type ProgressTask, type Session } from '@virtnbd/cli-kit';
import type { PlannedImage, RestoreEvent, RestorePhase, RestoreResult } from '@virtnbd/restore-engine';

/** Shows what the engine tells while it works. */
export function presenter({ log, progress }: Session): (event: RestoreEvent) => void {
  const tasks = new Map<string, ProgressTask>();
  return (event) => {
    switch (event.type) {
      case 'plan':
        log.info(`restoring ${event.plan.point}${event.plan.date === '' ? '' : ` of ${event.plan.date}`}`);
        for (const image of event.plan.images) log.info(planLine(image));
        return;
      case 'note':
        return log.info(event.message);
      case 'phase':
        tasks.set(event.disk, progress.task(`${event.disk}${titles[event.phase]}`, event.totalBytes));
        return;
      case 'progress':
        return tasks.get(event.disk)?.add(event.bytes);
      case 'phase-done':
        return tasks.get(event.disk)?.finish();
    }
  };
}

const titles: Readonly<Record<RestorePhase, string>> = { check: ' checksums', write: '', compare: ' compare' };

function planLine({ disk, virtualSize, files, target }: PlannedImage): string {
  const where =
    target.kind === 'file'
      ? `${target.name}, ${target.format}`
      : target.kind === 'device'
        ? `the device ${target.path}`
        : `the image ${target.path}`;
  return `disk ${disk}, ${formatBytes(virtualSize)}, to ${where}, from ${files.join(', ')}`;
}

/** What a dry run found. */
export function tellEstimate({ estimate }: RestoreResult, log: Logger): void {
  for (const { disk, dataBytes, extents } of estimate.disks)
    log.info(`disk ${disk}: ${formatBytes(dataBytes)} of data in ${extents} ranges`);
  const free = estimate.spaceFree === null ? '' : `, ${formatBytes(estimate.spaceFree)} are free`;
  log.info(`about ${formatBytes(estimate.spaceNeeded)} are needed${free}; nothing was written`);
}

export function tellResult({ plan, images }: RestoreResult, milliseconds: number, log: Logger): void {
  for (const { disk, path } of images) log.info(`disk ${disk} at ${plan.point}: ${path}`);
  const seconds = (milliseconds / 1000).toFixed(1);
  log.info(`restored ${images.length === 1 ? '1 disk' : `${images.length} disks`} in ${seconds} s`);
}
