import { join, resolve } from 'node:path';
import { type BackupEvent, type BackupRequest, runBackup } from '@virtnbd/backup-engine';
import { formatBytes, type ProgressTask, readPassword, type Session } from '@virtnbd/cli-kit';
import { LocalHost, openStandardOutput } from '@virtnbd/host';
import { Hypervisor, type HypervisorOptions } from '@virtnbd/hypervisor';

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
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly 'password-file': string | undefined;
  readonly 'ssh-user': string | undefined;
  readonly 'ssh-port': number | undefined;
  readonly 'ssh-private-key': string | undefined;
  readonly 'nbd-ip': string | undefined;
  readonly 'nbd-port': number | undefined;
  readonly tls: boolean;
  readonly 'tls-cert': string;
  readonly 'tls-hostname': string | undefined;
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
  const password = await readPassword(flags, { files: host.files, log, signal });
  await using hypervisor = await Hypervisor.open(hypervisorOptions(flags, password, signal));
  for (const warning of hypervisor.warnings) log.warn(warning);
  const show = presenter(session);
  const { compress } = flags;
  if (compress !== undefined && lz4Level(compress) !== compress)
    log.warn(`LZ4 has no level ${compress}; level ${lz4Level(compress)} is used`);
  const since = performance.now();
  const piped = flags.output === '-';
  const result = await runBackup(requestOf(flags, piped ? process.cwd() : flags.output), {
    host,
    hypervisor: hypervisor.host,
    ...(hypervisor.transfer && { transfer: hypervisor.transfer }),
    connect: () => hypervisor.connect(),
    writer,
    signal: AbortSignal.any([signal, hypervisor.lost]),
    onEvent: show,
    ...(piped && { pipe: await openStandardOutput() }),
    onFolder: (name) => log.attachFile(host.files, join(flags.output, name)),
  });
  const saved = result.disks.reduce((sum, { fileSize }) => sum + fileSize, 0);
  const seconds = ((performance.now() - since) / 1000).toFixed(1);
  const where = piped ? 'to standard output' : `in ${result.folder}`;
  log.info(`restore point ${result.point}: ${formatBytes(saved)} in ${seconds} s, ${where}`);
}

function hypervisorOptions(flags: BackupFlags, password: string | undefined, signal: AbortSignal): HypervisorOptions {
  const { user } = flags;
  const [sshUser, port, key] = [flags['ssh-user'], flags['ssh-port'], flags['ssh-private-key']];
  const [address, nbdPort, tlsHostname] = [flags['nbd-ip'], flags['nbd-port'], flags['tls-hostname']];
  return {
    uri: flags.uri ?? (process.getuid?.() === 0 ? 'qemu:///system' : 'qemu:///session'),
    ...(user !== undefined && { user }),
    ...(password !== undefined && { password }),
    ssh: {
      ...(sshUser !== undefined && { user: sshUser }),
      ...(port !== undefined && { port }),
      ...(key !== undefined && { privateKey: resolve(key) }),
    },
    transfer: {
      tls: flags.tls,
      certificates: resolve(flags['tls-cert']),
      ...(address !== undefined && { address }),
      ...(nbdPort !== undefined && { port: nbdPort }),
      ...(tlsHostname !== undefined && { tlsHostname }),
    },
    signal,
  };
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
