import { resolve } from 'node:path';
import type { BackupRequest } from '@virtnbd/backup-engine';
import type { RemoteFlags } from '@virtnbd/cli-kit';

/** The values of the command's flags. */
export interface BackupFlags extends RemoteFlags {
  readonly domain: string;
  readonly level: BackupRequest['level'];
  readonly checkpointdir: string | undefined;
  readonly 'start-domain': boolean;
  readonly pause: boolean;
  /** Seconds. */
  readonly wait: number | undefined;
  readonly type: 'stream' | 'raw';
  readonly raw: boolean;
  /** The backup folder, absolute; `-` for a zip stream to standard output. */
  readonly output: string;
  readonly include: string | undefined;
  readonly exclude: string | undefined;
  readonly compress: number | undefined;
  readonly worker: number | undefined;
  readonly scratchdir: string;
  readonly socketfile: string | undefined;
  readonly 'freeze-mountpoint': string | undefined;
  readonly 'allow-plaintext': boolean;
  readonly threshold: number | undefined;
  readonly prove: number | undefined;
  readonly bwlimit: number | undefined;
  readonly 'no-sparse-detection': boolean;
  readonly qemu: boolean;
  readonly force: boolean;
  readonly json: boolean;
  readonly syslog: boolean;
}

/** The engine's request. @param folder absolute */
export function requestOf(flags: BackupFlags, folder: string): BackupRequest {
  const { include, exclude, worker, socketfile } = flags;
  const mountpoints = flags['freeze-mountpoint'];
  return {
    domain: flags.domain,
    level: flags.level,
    folder,
    output: flags.type,
    startDomain: flags['start-domain'],
    pause: flags.pause,
    ...(flags.wait !== undefined && { waitSeconds: flags.wait }),
    ...(flags.checkpointdir !== undefined && { checkpointFolder: resolve(flags.checkpointdir) }),
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
    zeroesAsData: flags['no-sparse-detection'],
    extentsBy: flags.qemu ? 'nbdinfo' : 'client',
    force: flags.force,
    ...(flags.threshold !== undefined && { threshold: flags.threshold }),
    ...(flags.prove !== undefined && { prove: flags.prove }),
    ...(flags.bwlimit !== undefined && { bytesPerSecond: flags.bwlimit }),
  };
}

/** LZ4 has levels 1 to 12; the established command lets others pass. */
export function lz4Level(level: number): number {
  return Math.min(12, Math.max(1, level));
}
