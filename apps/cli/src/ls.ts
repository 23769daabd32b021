import { BackupSet, openBackupSource } from '@virtnbd/backup-set';
import { ExitCode, formatBytes, type Session } from '@virtnbd/cli-kit';
import { LocalHost } from '@virtnbd/host';
import { jsonText, visibleText } from '@virtnbd/inspect-engine';
import { type FoundEntry, type GuestFileSystem, GuestFiles, nameOf } from '@virtnbd/recovery-engine';
import { Output } from './output.ts';
import { type Row, table } from './render/columns.ts';
import { painter } from './render/style.ts';
import { serveListener } from './serve-events.ts';

/** The values of the command's flags and arguments; paths on this host are absolute. */
export interface LsFlags {
  /** A folder, or zips; as it was given. */
  readonly folder: string;
  /** Inside the guest; without it the file systems are listed. */
  readonly path: string | undefined;
  readonly point: string;
  readonly disk: string | undefined;
  readonly partition: string | undefined;
  readonly long: boolean;
  readonly json: boolean;
  readonly scratchdir: string;
  readonly nocolor: boolean;
}

/** Runs the engine, and shows what it tells. */
export async function ls(flags: LsFlags, session: Session): Promise<ExitCode> {
  const { signal, log } = session;
  await using source = await openBackupSource(new LocalHost(), flags.folder, process.cwd());
  const { host } = source;
  const set = await BackupSet.open(host, source.folder, { signal });
  const output = new Output({ colour: !flags.nocolor });
  await using files = await GuestFiles.open(
    { set, point: flags.point, scratchFolder: flags.scratchdir },
    { host, signal, onEvent: serveListener(session) },
  );
  if (flags.path === undefined) {
    await output.lines(fileSystemLines(files.fileSystems, flags.json));
    return ExitCode.DONE;
  }
  const { disk, partition, path } = flags;
  await files.mount({ disk, partition });
  const entry = await files.look(path);
  const shown = entry.kind === 'link' && !flags.long ? await files.follow(path) : entry;
  if (shown.kind !== 'folder') {
    await output.lines(entryLines([{ ...entry, name: path }], flags, output));
    return ExitCode.DONE;
  }
  const { entries, unusable } = await files.list(shown.path, { deep: false });
  await output.lines(entryLines(entries, flags, output));
  for (const name of unusable) log.warn(`a name that is not UTF-8: ${visibleText(name)}`);
  return ExitCode.DONE;
}

function fileSystemLines(fileSystems: readonly GuestFileSystem[], json: boolean): Iterable<string> {
  return json ? [[...jsonText(fileSystems)].join('').trimEnd()] : fileSystems.map(nameOf);
}

function entryLines(entries: readonly FoundEntry[], { long, json }: LsFlags, output: Output): Iterable<string> {
  if (json) return [[...jsonText(entries)].join('').trimEnd()];
  if (!long) return entries.map(({ name, kind }) => visibleText(name) + (kind === 'folder' ? '/' : ''));
  const columns = [
    { title: 'mode', align: 'left', drop: 0 },
    { title: 'owner', align: 'right', drop: 1 },
    { title: 'size', align: 'right', drop: 0 },
    { title: 'modified (UTC)', align: 'left', drop: 2 },
    { title: 'name', align: 'left', drop: 0 },
  ] as const;
  return table(columns, entries.map(rowOf), output.width, painter(output.colour));
}

const MARKS = { file: '-', folder: 'd', link: 'l', device: 'b', fifo: 'p', socket: 's' } as const;

function rowOf({ kind, mode, uid, gid, size, modified, name }: FoundEntry): Row {
  const time = new Date(modified * 1000).toISOString().slice(0, 19).replace('T', ' ');
  const cells = [`${MARKS[kind]}${permissions(mode)}`, `${uid}:${gid}`, formatBytes(size), time, visibleText(name)];
  return cells.map((text) => ({ text }));
}

/** `rwxr-x---` */
function permissions(mode: number): string {
  return [...'rwxrwxrwx'].map((letter, index) => ((mode >> (8 - index)) & 1 ? letter : '-')).join('');
}
