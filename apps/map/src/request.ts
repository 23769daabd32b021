import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { UsageError } from '@virtnbd/cli-kit';
import type { AttachRequest, MapRequest } from '@virtnbd/recovery-engine';

/** The values of the command's flags. */
export interface MapFlags {
  readonly file: string | undefined;
  readonly input: string | undefined;
  readonly disk: string | undefined;
  readonly until: string | undefined;
  readonly mount: string | undefined;
  readonly partition: string | undefined;
  readonly device: string | undefined;
  readonly socket: string | undefined;
  readonly listen: string | undefined;
  readonly 'listen-address': string | undefined;
  readonly 'listen-port': number | undefined;
  readonly 'export-name': string | undefined;
  readonly readonly: boolean;
  readonly overlay: string | undefined;
  readonly scratchdir: string;
  readonly once: boolean;
  readonly tls: boolean;
  readonly 'tls-cert': string;
  readonly blocksize: number | undefined;
  readonly threads: number | undefined;
  readonly hexdump: boolean;
  readonly logfile: string;
}

/** What the flags mean here. */
export interface Surroundings {
  readonly root: boolean;
  /** Whether the kernel has NBD devices. */
  readonly nbdDevices: boolean;
  /** XDG_RUNTIME_DIR, where there is one. */
  readonly runtimeFolder: string | undefined;
}

/** The established command's name of the export. */
const ESTABLISHED_EXPORT = 'sda';
const ESTABLISHED_DEVICE = '/dev/nbd0';

/** The engine's request without its TLS files. @throws UsageError for options that exclude each other */
export function requestOf(flags: MapFlags, surroundings: Surroundings): MapRequest {
  checkTogether(flags);
  const address = addressOf(flags);
  const attach = attachOf(flags, surroundings);
  const tcp = address !== 'private' && !('path' in address);
  // Who listens on a port lets nobody write unless told to.
  const writable = !flags.readonly && (flags.overlay !== undefined || attach !== undefined || !tcp);
  if (flags.tls && (!tcp || attach !== undefined)) {
    throw new UsageError('--tls is for --listen: nothing else leaves this host');
  }
  const byHand = flags.file === undefined ? undefined : ESTABLISHED_EXPORT;
  return {
    disks: disksOf(flags),
    exportName: flags['export-name'] ?? byHand,
    ...(writable && { overlay: overlayOf(flags) }),
    address,
    runtimeFolder: surroundings.runtimeFolder ?? tmpdir(),
    maxBlockSize: flags.blocksize,
    maxRequests: flags.threads,
    attach,
  };
}

function checkTogether(flags: MapFlags): void {
  const both = (one: keyof MapFlags, other: keyof MapFlags) => {
    if (flags[one] !== undefined && flags[one] !== false && flags[other] !== undefined) {
      throw new UsageError(`--${one} and --${other} exclude each other`);
    }
  };
  if (flags.file === undefined && flags.input === undefined) {
    throw new UsageError('a backup folder (-i) or the files of a disk (-f) are needed');
  }
  for (const other of ['input', 'disk', 'until'] as const) both('file', other);
  for (const other of ['listen', 'listen-address', 'listen-port'] as const) both('socket', other);
  for (const other of ['listen-address', 'listen-port'] as const) both('listen', other);
  both('mount', 'device');
  both('readonly', 'overlay');
  if (flags.partition !== undefined && flags.mount === undefined) throw new UsageError('--partition is for --mount');
}

function disksOf({ file, input, disk, until }: MapFlags): MapRequest['disks'] {
  if (file !== undefined) return { kind: 'files', files: file.split(',').map((path) => resolve(path)) };
  return { kind: 'folder', folder: resolve(input ?? ''), point: until ?? 'latest', disk };
}

function overlayOf({ overlay, scratchdir }: MapFlags): NonNullable<MapRequest['overlay']> {
  if (overlay !== undefined) return { kind: 'kept', path: resolve(overlay) };
  return { kind: 'temporary', folder: resolve(scratchdir) };
}

function addressOf(flags: MapFlags): MapRequest['address'] {
  if (flags.socket !== undefined) return { path: resolve(flags.socket) };
  if (flags.listen !== undefined) return tcpAddress(flags.listen);
  const { 'listen-address': host, 'listen-port': port } = flags;
  if (host === undefined && port === undefined) return 'private';
  return { ...(host !== undefined && { host }), ...(port !== undefined && { port }) };
}

/** `192.0.2.1:10809`, `[::1]:10809`, `host`, `:10809` */
function tcpAddress(text: string): { host?: string; port?: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = match?.[3] === undefined ? undefined : Number(match[3]);
  if (match === null || (port ?? 0) > 65_535) {
    throw new UsageError(`--listen ${text}: an address and a port are expected, 127.0.0.1:10809 or [::1]:10809`);
  }
  return { ...(host !== undefined && host !== '' && { host }), ...(port !== undefined && { port }) };
}

function attachOf(flags: MapFlags, { root, nbdDevices }: Surroundings): AttachRequest | undefined {
  const { mount, partition, device, socket, listen } = flags;
  if (mount !== undefined) return { kind: 'mount', target: resolve(mount), partition };
  if (device !== undefined) return { kind: 'device', device };
  if (socket !== undefined || listen !== undefined || !root || !nbdDevices) return undefined;
  return { kind: 'device', device: ESTABLISHED_DEVICE };
}
