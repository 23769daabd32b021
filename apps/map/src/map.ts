import { join, resolve } from 'node:path';
import { openBackupSource } from '@virtnbd/backup-set';
import { formatBytes, type Session } from '@virtnbd/cli-kit';
import { type HostFiles, LocalHost } from '@virtnbd/host';
import { hasNbdDevices, Mapping, type MapRequest } from '@virtnbd/recovery-engine';
import { deviceCommands, exportCommands } from './command-lines.ts';
import { checkProgress, presenter, requestLog } from './presenter.ts';
import { type MapFlags, requestOf } from './request.ts';

/** Runs the engine, shows what it tells, and waits for the end. */
export async function map(flags: MapFlags, session: Session): Promise<void> {
  const { log, signal } = session;
  const host = new LocalHost();
  const root = process.getuid?.() === 0;
  const runtimeFolder = process.env.XDG_RUNTIME_DIR || undefined;
  const request = requestOf(flags, { root, nbdDevices: await hasNbdDevices(host), runtimeFolder });
  await log.attachFile(host.files, resolve(flags.logfile));
  const tls = flags.tls ? await readCertificates(host.files, flags['tls-cert']) : undefined;
  // A folder, or zips that are read in place.
  const { input } = flags;
  await using source = input === undefined ? null : await openBackupSource(host, input, process.cwd());
  const ofFolder = request.disks.kind === 'folder' && source !== null;
  const disks = ofFolder ? { ...request.disks, folder: source.folder } : request.disks;
  const mapping = await Mapping.start(
    { ...request, disks, tls },
    {
      host: source?.host ?? host,
      root,
      signal,
      onEvent: presenter(log),
      onProgress: checkProgress(session),
      ...(flags.hexdump && { onRequest: requestLog(log) }),
    },
  );
  await using _ = mapping;
  session.progress.stop();
  session.expectSignal();
  announce(mapping, session);
  await endOf(mapping, flags.once, signal);
  log.info('ended: everything is taken away');
}

/** What other programs need stands on standard output; its first line is the device, the folder or the first URI. */
function announce(mapping: Mapping, { log }: Session): void {
  const lines: string[] = [];
  for (const { disk, point, size, files } of mapping.exports) {
    log.info(`disk ${disk} at ${point}, ${formatBytes(size)}, from ${files.join(', ')}`);
  }
  const { attached } = mapping;
  if (attached?.kind === 'mount') {
    log.info(`mounted read-only: ${attached.description}`);
    lines.push(attached.target);
  } else if (attached?.kind === 'device') {
    lines.push(attached.device, ...indented(deviceCommands(attached.device)));
  } else {
    for (const each of mapping.exports) lines.push(each.uri, ...indented(exportCommands(each)));
    for (const { name, uri } of mapping.others) log.debug(`also ${name}: ${uri}`);
    if (mapping.others.length > 0) log.info(`other points: ${mapping.others.map(({ name }) => name).join(', ')}`);
  }
  process.stdout.write(lines.map((line) => `${line}\n`).join(''));
  log.info('ready; Ctrl-C ends it');
}

function indented(lines: readonly string[]): string[] {
  return lines.map((line) => `  ${line}`);
}

async function endOf(mapping: Mapping, once: boolean, signal: AbortSignal): Promise<void> {
  const aborted = new Promise<never>((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  await Promise.race([mapping.ended, aborted, ...(once ? [mapping.lastClientLeft] : [])]);
}

/** Larger than any chain of certificates. */
const MAX_PEM = 1024 * 1024;

/** A folder as qemu has it. */
async function readCertificates(files: HostFiles, folder: string): Promise<MapRequest['tls']> {
  const path = (name: string) => join(resolve(folder), name);
  const authorities = path('ca-cert.pem');
  const ca = (await files.stat(authorities)) === null ? undefined : await files.readSmall(authorities, MAX_PEM);
  return {
    cert: await files.readSmall(path('server-cert.pem'), MAX_PEM),
    key: await files.readSmall(path('server-key.pem'), MAX_PEM),
    ...(ca !== undefined && { ca }),
  };
}
