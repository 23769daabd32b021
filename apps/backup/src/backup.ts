import { join } from 'node:path';
import {
  type BackupContext,
  type BackupRequest,
  type BackupResult,
  endBackupJob,
  forecastBackup,
  runBackup,
  startBackupJob,
} from '@virtnbd/backup-engine';
import { formatBytes, hypervisorOptions, openSyslog, readPassword, type Session } from '@virtnbd/cli-kit';
import { LocalHost, openStandardOutput, yieldPoolThreads } from '@virtnbd/host';
import { Hypervisor } from '@virtnbd/hypervisor';
import { JsonLines } from './json-lines.ts';
import type { Mode } from './operation-flags.ts';
import { forecastLines, presenter } from './presenter.ts';
import { type BackupFlags, lz4Level, requestOf } from './request.ts';

/** Runs the engine as the flags say, and shows what it tells. */
export async function backup(
  flags: BackupFlags,
  mode: Mode,
  session: Session,
  writer: { name: string; version: string },
): Promise<void> {
  const { log } = session;
  if (flags.syslog) log.attachSink(await openSyslog(writer.name));
  const json = flags.json ? new JsonLines((line) => process.stdout.write(line)) : null;
  const { compress } = flags;
  if (compress !== undefined && lz4Level(compress) !== compress)
    log.warn(`LZ4 has no level ${compress}; level ${lz4Level(compress)} is used`);
  const piped = flags.output === '-';
  const request = requestOf(flags, piped ? process.cwd() : flags.output);
  try {
    const { signal } = session;
    const host = new LocalHost();
    if (compress !== undefined) await yieldPoolThreads();
    const password = await readPassword(flags, { files: host.files, log, signal });
    await using hypervisor = await Hypervisor.open({ ...hypervisorOptions(flags, password), signal });
    for (const warning of hypervisor.warnings) log.warn(warning);
    const context = await contextOf(flags, mode, session, { host, hypervisor, json, writer });
    await modes[mode](request, context, session, json);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    json?.tell('failed', { code, message: error instanceof Error ? error.message : String(error) });
    throw error;
  }
}

interface Surroundings {
  readonly host: LocalHost;
  readonly hypervisor: Hypervisor;
  readonly json: JsonLines | null;
  readonly writer: { name: string; version: string };
}

async function contextOf(
  flags: BackupFlags,
  mode: Mode,
  session: Session,
  { host, hypervisor, json, writer }: Surroundings,
): Promise<BackupContext> {
  const { log, signal } = session;
  const show = presenter(session);
  return {
    host,
    hypervisor: hypervisor.host,
    ...(hypervisor.transfer && { transfer: hypervisor.transfer }),
    connect: () => hypervisor.connect(),
    writer,
    signal: AbortSignal.any([signal, hypervisor.lost]),
    onEvent: (event) => {
      show(event);
      json?.hear(event);
    },
    ...(flags.output === '-' && mode === 'backup' && { pipe: await openStandardOutput() }),
    onFolder: (name) => log.attachFile(host.files, join(flags.output, name)),
  };
}

type Work = (request: BackupRequest, context: BackupContext, session: Session, json: JsonLines | null) => Promise<void>;

const modes: Readonly<Record<Mode, Work>> = {
  async backup(request, context, { log }, json) {
    const since = performance.now();
    const result = await runBackup(request, context);
    if (result.skipped) {
      log.info(`no backup is made: ${result.estimate} bytes have changed, and the threshold is ${request.threshold}`);
      json?.tell('skipped', { estimate: result.estimate, threshold: request.threshold });
      return;
    }
    const { skipped: _, ...fields } = result;
    json?.tell('done', fields);
    const seconds = ((performance.now() - since) / 1000).toFixed(1);
    log.info(doneLine(result, context.pipe !== undefined, seconds));
  },

  async 'dry-run'(request, context, { log }, json) {
    const forecast = await forecastBackup(request, context);
    for (const line of forecastLines(forecast)) log.info(line);
    json?.tell('forecast', forecast);
  },

  async printonly(request, context, { log }, json) {
    const { estimate } = await forecastBackup(request, context);
    log.info(`estimated size: ${estimate} bytes`);
    if (json === null) process.stdout.write(`${estimate}\n`);
    else json.tell('estimate', { bytes: estimate });
  },

  async startonly(request, context, { log }, json) {
    const { exports } = await startBackupJob(request, context);
    log.info(`the backup job runs, and holds the VM's other jobs up, until it is ended by the same command with -k`);
    if (json !== null) json.tell('started', { exports });
    else for (const { disk, uri } of exports) process.stdout.write(`${disk} ${uri}\n`);
  },

  async killonly(request, context, { log }, json) {
    const ended = await endBackupJob(request.domain, context);
    log.info(ended ? 'the backup job is ended' : 'the VM has no backup job');
    json?.tell('job-ended', { ended });
  },
};

function doneLine({ disks, point, folder }: BackupResult, piped: boolean, seconds: string): string {
  const saved = disks.reduce((sum, { fileSize }) => sum + fileSize, 0);
  const where = piped ? 'to standard output' : `in ${folder}`;
  return `restore point ${point}: ${formatBytes(saved)} in ${seconds} s, ${where}`;
}
