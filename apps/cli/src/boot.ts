import { BackupSet, openBackupSource } from '@virtnbd/backup-set';
import { ExitCode, type ProgressTask, type Session, UsageError } from '@virtnbd/cli-kit';
import { LocalHost } from '@virtnbd/host';
import { jsonText } from '@virtnbd/inspect-engine';
import { LibvirtConnection, parseLibvirtUri } from '@virtnbd/libvirt-ops';
import { type BootContext, type BootEvent, BootedVm, type BootRequest, checkBoot } from '@virtnbd/recovery-engine';
import { Output } from './output.ts';
import { serveListener } from './serve-events.ts';

/** The values of the command's flags and arguments; paths are absolute, but for `folder`. */
export interface BootFlags {
  /** A folder, or zips. */
  readonly folder: string;
  readonly point: string;
  readonly uri: string | undefined;
  readonly name: string | undefined;
  /** Empty: as the saved VM was. */
  readonly network: string | undefined;
  readonly keep: string | undefined;
  readonly check: boolean;
  readonly sign: 'agent' | 'screen' | undefined;
  /** Seconds. */
  readonly timeout: number;
  /** Seconds. */
  readonly still: number;
  readonly 'no-record': boolean;
  readonly scratchdir: string;
  readonly 'qemu-user': string | undefined;
  readonly json: boolean;
  readonly nocolor: boolean;
}

/** Runs the engine, and shows what it tells. */
export async function boot(
  flags: BootFlags,
  session: Session,
  writer: { name: string; version: string },
): Promise<ExitCode> {
  const { signal } = session;
  const uri = flags.uri ?? (process.getuid?.() === 0 ? 'qemu:///system' : 'qemu:///session');
  if (isRemote(uri)) throw new UsageError(`the VM reads through a socket of this host, and ${uri} is another one`);
  await using source = await openBackupSource(new LocalHost(), flags.folder, process.cwd());
  const { host } = source;
  const set = await BackupSet.open(host, source.folder, { signal });
  const request = requestOf(flags, set);
  const onEvent = presenter(session);
  const context: BootContext = { host, uri, connect: () => LibvirtConnection.open(uri), onEvent, signal };
  if (flags.check) {
    const { sign, timeout, still } = flags;
    const record = !flags['no-record'] && source.isFolder;
    if (record !== !flags['no-record']) session.log.warn('the verdict will not be recorded: nothing is added to a zip');
    const verdict = await checkBoot(request, context, {
      sign,
      timeoutMs: timeout * 1000,
      stillMs: still * 1000,
      record,
      writer,
    });
    const text = `${verdict.passed ? 'passed' : 'failed'} after ${verdict.seconds} s: ${verdict.message}`;
    if (flags.json) for (const piece of jsonText(verdict)) await new Output({ colour: false }).write(piece);
    if (verdict.passed) session.log.info(text);
    else session.log.error(text);
    return verdict.passed ? ExitCode.DONE : ExitCode.FAILED;
  }
  await using vm = await BootedVm.start(request, context);
  if (flags.keep !== undefined) await vm.keep();
  else {
    session.expectSignal();
    session.log.info('it ends with this command, or when it shuts down; press Ctrl-C to end it');
    await vm.ended(signal);
    session.log.info('the VM has ended');
  }
  return ExitCode.DONE;
}

function requestOf(flags: BootFlags, set: BackupSet): BootRequest {
  const { network } = flags;
  const owner = flags['qemu-user'];
  return {
    set,
    point: flags.point,
    name: flags.name,
    ...(network !== undefined && { network: network === '' ? { kind: 'saved' } : { kind: 'named', network } }),
    scratchFolder: flags.scratchdir,
    keepFolder: flags.keep,
    ...(owner !== undefined && { qemuUser: { owner } }),
  };
}

/** Whether a URI of libvirt names another host. */
function isRemote(uri: string): boolean {
  return parseLibvirtUri(uri).transport !== 'local';
}

function presenter(session: Session): (event: BootEvent) => void {
  const { log, progress } = session;
  const other = serveListener(session);
  const tasks = new Map<string, ProgressTask>();
  return (event) => {
    switch (event.type) {
      case 'changes':
        return event.changes.forEach((change) => {
          log.info(`other than the saved VM: ${change}`);
        });
      case 'running':
        log.info(`${event.name} (${event.uuid}) is running`);
        return event.consoles.forEach((command) => {
          log.info(`  ${command}`);
        });
      case 'pull': {
        const task = tasks.get(event.disk) ?? progress.task(event.disk, event.end);
        tasks.set(event.disk, task);
        return task.update(event.current);
      }
      case 'kept':
        for (const task of tasks.values()) task.finish();
        return log.info(`${event.name} stands on its own: ${event.images.join(', ')}`);
      default:
        return other(event);
    }
  };
}
