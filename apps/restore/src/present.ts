import { formatBytes, type Logger, type ProgressTask, type Session } from '@virtnbd/cli-kit';
import type {
  Hole,
  HoleContent,
  PlannedImage,
  RestoredDomain,
  RestoreEvent,
  RestorePhase,
  RestoreResult,
} from '@virtnbd/restore-engine';

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

/** Holes that are told of a disk; the file beside the image has all. */
const SHOWN = 20;

function tellHoles(disk: string, holes: readonly Hole[], log: Logger): void {
  if (holes.length === 0) return;
  for (const { start, length, content, file } of holes.slice(0, SHOWN))
    log.warn(`disk ${disk}, bytes ${start} to ${start + length}: ${contents[content]}; ${file} is damaged`);
  const bytes = formatBytes(holes.reduce((sum, { length }) => sum + length, 0));
  const more = holes.length > SHOWN ? `; ${holes.length - SHOWN} more ranges are listed there` : '';
  log.warn(`disk ${disk} is not whole: ${bytes} in ${holes.length} ranges, listed in a .holes.json beside it${more}`);
}

const contents: Readonly<Record<HoleContent, string>> = {
  zero: 'zeroes, nothing is known of it',
  older: 'what it held earlier',
  unproven: 'what the damaged file says, which may be wrong',
};

/** What a dry run found. */
export function tellEstimate({ estimate }: RestoreResult, log: Logger): void {
  for (const { disk, dataBytes, extents } of estimate.disks)
    log.info(`disk ${disk}: ${formatBytes(dataBytes)} of data in ${extents} ranges`);
  for (const { id, disks, fault } of estimate.points) {
    if (fault !== null) log.warn(`${id} cannot be restored: ${fault}`);
    else
      for (const [disk, reason] of Object.entries(disks)) {
        if (reason !== null) log.warn(`disk ${disk} of ${id} cannot be restored: ${reason}`);
      }
  }
  const free = estimate.spaceFree === null ? '' : `, ${formatBytes(estimate.spaceFree)} are free`;
  log.info(`about ${formatBytes(estimate.spaceNeeded)} are needed${free}; nothing was written`);
}

export function tellResult({ plan, images, leftOut, domain }: RestoreResult, milliseconds: number, log: Logger): void {
  for (const { disk, path, holes } of images) {
    log.info(`disk ${disk} at ${plan.point}: ${path}`);
    tellHoles(disk, holes, log);
  }
  for (const message of leftOut) log.warn(`left out: ${message}`);
  if (domain !== null) tellDomain(domain, log);
  const seconds = (milliseconds / 1000).toFixed(1);
  log.info(`restored ${images.length === 1 ? '1 disk' : `${images.length} disks`} in ${seconds} s`);
}

function tellDomain({ configFile, bootFiles, defined }: RestoredDomain, log: Logger): void {
  for (const { kind, path } of bootFiles) log.info(`${kind}: ${path}`);
  log.info(`configuration: ${configFile}`);
  if (defined === null) return;
  log.info(`the VM ${defined.name} is defined${defined.autostart ? ', and starts with its host' : ''}`);
  if (defined.tpmState !== null) log.info(`the state of its TPM: ${defined.tpmState}`);
  if (defined.pool !== null) log.info(`the storage pool ${defined.pool} knows the images`);
}
