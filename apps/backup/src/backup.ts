import { join, resolve } from 'node:path';
import { type BackupEvent, type BackupRequest, runBackup } from '@virtnbd/backup-engine';
import { formatBytes, type ProgressTask, type Session } from '@virtnbd/cli-kit';
import { LocalHost, openStandardOutput } from '@virtnbd/host';
import { LibvirtConnection } from '@virtnbd/libvirt-ops';

/** The values of the command's flags. */
export interface BackupFlags {
  readonly domain: string;
  readonly level: BackupRequest['level'];
  readonly type: 'stream' | 'raw';
  readonly raw: boolean;
  /** The backup folder, absolute; `-` for a zip stream to standard output. */
  readonly output: string;
  readonly include: string | undefined;
  readonly exclude: string | undefined;
  readonly compress: number | undefined;
  readonly worker: number | undefined;
  readonly uri: string | undefined;
  readonly scratchdir: string;
  readonly socketfile: string | undefined;
  readonly 'freeze-mountpoint': string | undefined;
  readonly 'allow-plaintext': boolean;
}

/** Runs the engine, and shows what it tells. */
export async function backup(
  flags: BackupFlags,
  session: Session,
  writer: { name: string; version: string },
): Promise<void> {
  const { log, signal } = session;
  const host = new LocalHost();
  const uri = flags.uri ?? (process.getuid?.() === 0 ? 'qemu:///system' : 'qemu:///session');
  const show = presenter(session);
  const { compress } = flags;
  if (compress !== undefined && lz4Level(compress) !== compress)
    log.warn(`LZ4 has no level ${compress}; level ${lz4Level(compress)} is used`);
  const since = performance.now();
  const piped = flags.output === '-';
  const result = await runBackup(requestOf(flags, piped ? process.cwd() : flags.output), {
    host,
    hypervisor: host,
    connect: () => LibvirtConnection.open(uri),
    writer,
    signal,
    onEvent: show,
    ...(piped && { pipe: await openStandardOutput() }),
    onFolder: (name) => log.attachFile(host.files, join(flags.output, name)),
  });
  const saved = result.disks.reduce((sum, { fileSize }) => sum + fileSize, 0);
  const seconds = ((performance.now() - since) / 1000).toFixed(1);
  const where = piped ? 'to standard output' : `in ${result.folder}`;
  log.info(`restore point ${result.point}: ${formatBytes(saved)} in ${seconds} s, ${where}`);
}

function requestOf(flags: BackupFlags, folder: string): BackupRequest {
  const { include, exclude, worker, socketfile } = flags;
  const mountpoints = flags['freeze-mountpoint'];
  return {
    domain: flags.domain,
    level: flags.level,
    folder,
    output: flags.type,
    selection: {
      raw: flags.raw,
      ...(include !== undefined && { include: include.split(',') }),
      ...(exclude !== undefined && { exclude: exclude.split(',') }),
      allowPlaintext: flags['allow-plaintext'],
    },
    ...(flags.compress !== undefined && { compress: lz4Level(flags.compress) }),
    scratchFolder: resolve(flags.scratchdir),
    ...(worker !== undefined && { workers: worker }),
    ...(socketfile !== undefined && { socketPath: resolve(socketfile) }),
    ...(mountpoints !== undefined && { freezeMountpoints: mountpoints.split(',') }),
  };
}

/** LZ4 has levels 1 to 12; the established command lets others pass. */
function lz4Level(level: number): number {
  return Math.min(12, Math.max(1, level));
}

/** Turns events into lines and bars, one bar a disk. */
function presenter({ log, progress }: Session): (event: BackupEvent) => void {
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
    }
  };
}
