import { resolve } from 'node:path';
import { openBackupSource } from '@virtnbd/backup-set';
import { ExitCode, type Session, UsageError } from '@virtnbd/cli-kit';
import { LocalHost } from '@virtnbd/host';
import { describeFile, describeFolder, jsonText, reportPage } from '@virtnbd/inspect-engine';
import { Output } from './output.ts';
import { fileLines, frameLines } from './render/file.ts';
import { folderLines } from './render/folder.ts';
import { cellsFor } from './render/map.ts';
import { painter } from './render/style.ts';

/** The values of the command's flags and arguments. */
export interface InspectFlags {
  /** A folder, zips, or a data file. */
  readonly path: string;
  readonly frames: boolean;
  readonly json: boolean;
  /** Absolute. */
  readonly html: string | undefined;
  readonly nocolor: boolean;
}

/** Runs the engine, and shows what it tells. */
export async function inspect(flags: InspectFlags, session: Session): Promise<ExitCode> {
  const host = new LocalHost();
  if (await isBackup(host, flags.path)) return await inspectFolder(host, flags, session);
  if (flags.html !== undefined) throw new UsageError('--html reports on a folder; give one');
  return await inspectFile(host, flags, session);
}

/** A folder or zips, rather than one data file. */
async function isBackup(host: LocalHost, input: string): Promise<boolean> {
  const kind = (await host.files.stat(resolve(input)))?.kind;
  return kind === 'folder' || (kind === 'file' ? /\.zip$/i.test(input) : input.includes(','));
}

async function inspectFolder(host: LocalHost, flags: InspectFlags, { signal, log }: Session): Promise<ExitCode> {
  if (flags.frames) throw new UsageError('--frames lists the frames of a file; give one');
  const output = new Output({ colour: !flags.nocolor });
  await using source = await openBackupSource(host, flags.path, process.cwd());
  const folder = await describeFolder(source.host, source.folder, { signal });
  if (flags.html !== undefined) {
    await host.files.writeAtomic(flags.html, reportPage(folder, { generated: new Date() }));
    log.info(`the report is in ${flags.html}`);
  }
  if (flags.json) for (const text of jsonText(folder)) await output.write(text);
  else if (flags.html === undefined) await output.lines(folderLines(folder, output.width, painter(output.colour)));
  const sound = folder.problems.every(({ severity }) => severity === 'note');
  return sound && folder.totals.complete === folder.totals.points ? ExitCode.DONE : ExitCode.FAILED;
}

async function inspectFile(host: LocalHost, flags: InspectFlags, { signal }: Session): Promise<ExitCode> {
  const output = new Output({ colour: !flags.nocolor });
  const paint = painter(output.colour);
  const cells = flags.json ? {} : { cells: cellsFor(output.width, output.height) };
  const file = await describeFile(host, resolve(flags.path), { signal, frames: flags.frames, ...cells });
  if (flags.json) for (const text of jsonText(file)) await output.write(text);
  else if (file.frames !== undefined) await output.lines(frameLines(file.frames, output.width, paint));
  else await output.lines(fileLines(file, output.width, paint));
  return file.state === 'complete' ? ExitCode.DONE : ExitCode.FAILED;
}
