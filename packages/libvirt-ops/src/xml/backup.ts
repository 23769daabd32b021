import { element, escapeXml } from './build.ts';
import type { SecretReference } from './domain.ts';
import { parseXml } from './parse.ts';

export interface BackupDisk {
  /** The target device: `vda`. */
  readonly target: string;
  /** Whether the disk takes part. One that is not listed does. */
  readonly backup: boolean;
  /** Where QEMU keeps what the guest overwrites during the job; libvirt chooses when absent. */
  readonly scratchFile?: string;
  /** The scratch file is encrypted with this secret, as the disk is. */
  readonly scratchSecret?: SecretReference;
  /** Name of the NBD export; libvirt uses the target when absent. */
  readonly exportName?: string;
  /** Name of the exported bitmap of an incremental backup; libvirt makes one up when absent. */
  readonly exportBitmap?: string;
  /** The whole disk although the job is an incremental one: its bitmap is not asked for. */
  readonly whole?: boolean;
}

/** Where QEMU's NBD server of a job listens: on a unix socket, or on an address of its host, with or without TLS. */
export type BackupServer =
  | { readonly socketPath: string }
  | { readonly listen: { readonly address: string; readonly port: number; readonly tls: boolean } };

export type BackupXmlInput = BackupServer & BackupJobInput;

interface BackupJobInput {
  /** The checkpoint since which blocks are dirty; a full backup when absent. */
  readonly incremental?: string;
  readonly disks: readonly BackupDisk[];
}

/**
 * The XML of a pull-mode backup job (libvirt.org/formatbackup.html).
 *
 * @throws LibvirtError INVALID_ARG when a name or path has a character that XML cannot carry
 */
export function buildBackupXml(input: BackupXmlInput): string {
  return element(
    'domainbackup',
    { mode: 'pull' },
    ...(input.incremental === undefined ? [] : [element('incremental', {}, escapeXml(input.incremental))]),
    serverElement(input),
    element('disks', {}, ...input.disks.map(diskElement)),
  );
}

function serverElement(server: BackupServer): string {
  if ('socketPath' in server) return element('server', { transport: 'unix', socket: server.socketPath });
  const { address, port, tls } = server.listen;
  return element('server', { transport: 'tcp', name: address, port: String(port), tls: tls ? 'yes' : undefined });
}

function diskElement(disk: BackupDisk): string {
  if (!disk.backup) return element('disk', { name: disk.target, backup: 'no' });
  const attributes = {
    name: disk.target,
    backup: 'yes',
    type: 'file', // libvirt's schema wants it as soon as the disk has any further attribute
    backupmode: disk.whole ? 'full' : undefined,
    exportname: disk.exportName,
    exportbitmap: disk.exportBitmap,
  };
  return disk.scratchFile === undefined
    ? element('disk', attributes)
    : element('disk', attributes, element('scratch', { file: disk.scratchFile }, ...scratchEncryption(disk)));
}

function scratchEncryption({ scratchSecret }: BackupDisk): string[] {
  if (scratchSecret === undefined) return [];
  return [element('encryption', { format: 'luks' }, element('secret', { type: 'passphrase', ...scratchSecret }))];
}

export interface BackupJobDescription {
  readonly mode: 'pull' | 'push';
  readonly incremental: string | null;
  /** The unix socket of a pull job's NBD server; null for one on TCP or a push job. */
  readonly socketPath: string | null;
  readonly disks: readonly BackupJobDisk[];
}

export interface BackupJobDisk {
  readonly target: string;
  readonly backup: boolean;
  readonly exportName: string | null;
  readonly exportBitmap: string | null;
  readonly scratchFile: string | null;
}

/** Reads the XML of a running job. @throws LibvirtError BAD_XML */
export async function parseBackupJob(xml: string): Promise<BackupJobDescription> {
  const root = await parseXml(xml, 'domainbackup', 'The backup job XML');
  return {
    mode: root.attribute('mode') === 'pull' ? 'pull' : 'push',
    incremental: root.textOf('incremental') ?? null,
    socketPath: root.child('server')?.attribute('socket') ?? null,
    disks: (root.child('disks')?.all('disk') ?? []).map((disk) => ({
      target: disk.attribute('name') ?? '',
      backup: disk.attribute('backup') !== 'no',
      exportName: disk.attribute('exportname') ?? null,
      exportBitmap: disk.attribute('exportbitmap') ?? null,
      scratchFile: disk.child('scratch')?.attribute('file') ?? null,
    })),
  };
}
