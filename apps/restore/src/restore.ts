import { basename, resolve } from 'node:path';
import { openBackupSource } from '@virtnbd/backup-set';
import { ExitCode, type RemoteFlags, type Session, UsageError } from '@virtnbd/cli-kit';
import { LocalHost } from '@virtnbd/host';
import { isImageFormat, type RestoreRequest, runRestore } from '@virtnbd/restore-engine';
import { confirmOverwrite } from './confirm.ts';
import { type DiskTarget, diskTargets } from './disk-targets.ts';
import { type DomainFlags, domainRequest } from './domain-flags.ts';
import { openTarget } from './open-target.ts';
import { presenter, tellEstimate, tellResult } from './present.ts';
import { printJson } from './print-json.ts';

/** The values of the command's flags. */
export interface RestoreFlags extends RemoteFlags, DomainFlags {
  /** A folder, or zips. */
  readonly input: string;
  readonly output: string | undefined;
  readonly disk: string | undefined;
  readonly until: string;
  readonly 'dry-run': boolean;
  readonly json: boolean;
  readonly verify: boolean;
  readonly salvage: boolean;
  readonly jobs: number;
  readonly force: boolean;
  readonly format: string | undefined;
  readonly preallocate: boolean;
  readonly compress: boolean;
  readonly 'to-device': readonly string[] | undefined;
  readonly onto: readonly string[] | undefined;
  readonly yes: boolean;
  readonly socketfile: string | undefined;
  readonly logfile: string;
}

/** Runs the engine, and shows what it tells. */
export async function restore(flags: RestoreFlags, session: Session): Promise<ExitCode> {
  const { log, signal } = session;
  const host = new LocalHost();
  const { output } = flags;
  if (output === undefined) throw new UsageError('-o/--output names the folder for the images: give it');
  const devices = diskTargets('--to-device', flags['to-device']);
  const onto = diskTargets('--onto', flags.onto);
  const wanted = requestOf(flags, devices, onto);
  await using source = await openBackupSource(host, flags.input, process.cwd());
  await log.attachFile(host.files, flags.logfile);
  const domain = domainRequest(flags, log);
  await using target = await openTarget({ ...flags, output }, host, { define: domain.define === true, log, signal });
  const request = { ...wanted, folder: source.folder, target: target.folder, domain };
  if (!flags['dry-run']) await confirmOverwrite([...devices, ...onto], { yes: flags.yes, signal });
  const since = performance.now();
  const socket = flags.socketfile === undefined ? {} : { socketFile: resolve(flags.socketfile) };
  const result = await runRestore(request, {
    host: source.host,
    targetHost: target.host,
    signal: AbortSignal.any([signal, target.lost]),
    onEvent: presenter(session),
    ...(target.libvirt !== null && { libvirt: target.libvirt }),
    ...socket,
  });
  if (flags.json) await printJson({ schema: 'virtnbd-restore', version: 1, ...result });
  else if (flags['dry-run']) tellEstimate(result, log);
  if (!flags['dry-run']) tellResult(result, performance.now() - since, log);
  const damaged = result.leftOut.length > 0 || result.images.some(({ holes }) => holes.length > 0);
  return damaged ? ExitCode.SALVAGED : ExitCode.DONE;
}

function requestOf(
  flags: RestoreFlags,
  devices: readonly DiskTarget[],
  onto: readonly DiskTarget[],
): Omit<RestoreRequest, 'folder' | 'target'> {
  const { format, sequence, disk } = flags;
  if (format !== undefined && !isImageFormat(format))
    throw new UsageError(`--format ${format}: no image of that format can be made`);
  if (sequence !== undefined && (flags.until !== 'latest' || flags.salvage))
    throw new UsageError('--sequence names the files itself: leave out --until and --salvage');
  return {
    point: flags.until,
    devices: new Map(devices.map((each) => [each.disk, each.path])),
    onto: new Map(onto.map((each) => [each.disk, each.path])),
    dryRun: flags['dry-run'],
    verify: flags.verify,
    jobs: flags.jobs,
    force: flags.force,
    preallocate: flags.preallocate,
    compress: flags.compress,
    salvage: flags.salvage,
    ...(sequence !== undefined && { sequence: sequence.split(',').map((name) => basename(name.trim())) }),
    ...(disk !== undefined && { disk }),
    ...(format !== undefined && { format }),
  };
}
