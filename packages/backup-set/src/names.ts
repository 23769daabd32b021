import { BackupSetError } from './errors.ts';

/**
 * Every file name of a backup folder. `…` stands for the ident of a restore point: the checkpoint's name (full, inc),
 * `copy`, or the unix time of a diff.
 *
 *     D.full.data   D.copy.data   D.inc.CPT.data   D.diff.UNIXTIME.data      the disks
 *       + .chksum                                                            adler32, decimal
 *       + .partial                                                           being written
 *     D.full.chunks D.copy.chunks D.inc.CPT.chunks D.diff.UNIXTIME.chunks    checksums of the chunks (ours)
 *     DOMAIN.cpt    vmconfig.….xml    D.….qcow.json    backup.LEVEL.MMDDYYYYhhmmss.log
 *     autostart.…   osinfo.…   bitlocker.recovery.key.VOL.…   BASENAME.… (boot files)
 *     tpmstate.….tar                                      state of an emulated TPM (ours)
 *     ….manifest.json   ….verdict.json   ….intent.json   virtnbd.lock   virtnbd.vm.UUID.lock    (ours)
 *     CPT.checkpoint.xml.partial                          a checkpoint's XML on its way to checkpoints/ (ours)
 *
 * The established tool globs for `*.data`, `*.partial`, `*.qcow.json` and `vmconfig*`: no name of ours has these in it.
 */
export type SetFile =
  | {
      kind: 'data' | 'adler32' | 'chunks';
      disk: string;
      level: Level;
      ident: string | null;
      partial: boolean;
    }
  | { kind: 'domain-xml' | 'manifest' | 'verdict' | 'intent'; ident: string; partial: boolean }
  | { kind: 'autostart' | 'guest-info' | 'tpm-state' | 'checkpoint-xml'; ident: string; partial: boolean }
  | { kind: 'image-info'; disk: string; ident: string; partial: boolean }
  | { kind: 'recovery-key'; volume: string; ident: string; partial: boolean }
  | { kind: 'boot'; base: string; ident: string; partial: boolean }
  | { kind: 'checkpoint-list'; domain: string; partial: boolean }
  | { kind: 'log'; level: string; stamp: string; partial: boolean }
  | { kind: 'set-lock' | 'vm-lock'; partial: boolean };

export type Level = 'full' | 'copy' | 'inc' | 'diff';

export const LEVELS: readonly Level[] = ['full', 'copy', 'inc', 'diff'];

export const SET_LOCK_NAME = 'virtnbd.lock';
export const CHECKPOINT_FOLDER = 'checkpoints';
export const PARTIAL_SUFFIX = '.partial';
export const CHKSUM_SUFFIX = '.chksum';

const CHECKPOINT = /^virtnbdbackup\.(0|[1-9]\d{0,14})$/;
const UNIX_TIME = /^\d{9,15}$/;
const DISK = /^[A-Za-z0-9_][A-Za-z0-9_:-]*$/;
/** An ident at the end of a name: anything before it, a dot, then a checkpoint's name, `copy` or a unix time. */
const ENDS_IN_IDENT = /^(.+)\.(virtnbdbackup\.(?:0|[1-9]\d{0,14})|copy|\d{9,15})$/s;

/** The number in a checkpoint name of ours, `virtnbdbackup.N`; null for every other name. */
export function checkpointNumber(name: string): number | null {
  const match = CHECKPOINT.exec(name);
  return match?.[1] === undefined ? null : Number(match[1]);
}

/** Whether a string can be the ident of a restore point: a checkpoint's name of ours, `copy` or a unix time. */
export function isPointId(ident: string): boolean {
  return ident === 'copy' || CHECKPOINT.test(ident) || UNIX_TIME.test(ident);
}

/** Whether a string is a name that libvirt gives to a disk (`vda`, `sdaa`) and that is safe in a file name. */
export function isDiskName(disk: string): boolean {
  return DISK.test(disk) && Buffer.byteLength(disk) <= 64;
}

/**
 * Rejects a string that must not become a file name: empty, `.`, `..`, with `/`, NUL or another control character, or
 * longer than 255 bytes.
 *
 * @throws BackupSetError `BAD_NAME`
 */
export function assertSafeName(name: string): string {
  const reason = unsafe(name);
  if (reason !== null) {
    throw new BackupSetError('BAD_NAME', `The file name ${JSON.stringify(name.slice(0, 300))} is refused: ${reason}.`, {
      file: name,
    });
  }
  return name;
}

function unsafe(name: string): string | null {
  if (name === '') return 'it is empty';
  if (name === '.' || name === '..') return 'it names a folder';
  if (name.includes('/')) return 'it contains a slash';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  if (/[\u0000-\u001f\u007f-\u009f]/.test(name)) return 'it contains a control character';
  if (!name.isWellFormed()) return 'it is not valid Unicode';
  return Buffer.byteLength(name) > 255 ? 'it is longer than 255 bytes' : null;
}

/** What a data file's name is made of. */
export interface DataFileInput {
  disk: string;
  level: Level;
  /** for inc: the checkpoint that the increment leads to */
  checkpoint?: string | undefined;
  /** for diff: seconds since 1970 */
  unixTime?: number | string | undefined;
}

/**
 * The name of a disk's data file.
 *
 * @throws BackupSetError `BAD_NAME` when a part does not fit
 */
export function dataFileName(input: DataFileInput): string {
  return `${dataStem(input)}.data`;
}

/** The name of the file with the checksums of a data file's chunks. */
export function chunkFileName(input: DataFileInput): string {
  return `${dataStem(input)}.chunks`;
}

/** The same, from the data file's name. */
export function chunkFileNameOf(dataFile: string): string {
  const parsed = parseFileName(dataFile);
  if (parsed?.kind !== 'data' || parsed.partial) throw bad(dataFile, 'it is not the name of a data file');
  return `${dataFile.slice(0, -'.data'.length)}.chunks`;
}

function dataStem({ disk, level, checkpoint, unixTime }: DataFileInput): string {
  if (!isDiskName(disk)) throw bad(disk, 'it is not the name of a disk');
  if (level === 'full' || level === 'copy') return `${disk}.${level}`;
  if (level === 'inc') {
    if (checkpoint === undefined || checkpointNumber(checkpoint) === null) {
      throw bad(String(checkpoint), 'an increment is named after a checkpoint virtnbdbackup.N');
    }
    return `${disk}.inc.${checkpoint}`;
  }
  const time = String(unixTime);
  if (!UNIX_TIME.test(time)) throw bad(time, 'a differential is named after a unix time');
  return `${disk}.diff.${time}`;
}

export const manifestName = (point: string): string => `${checkedIdent(point)}.manifest.json`;
export const intentName = (point: string): string => `${checkedIdent(point)}.intent.json`;
export const verdictName = (point: string): string => `${checkedIdent(point)}.verdict.json`;
export const domainXmlName = (ident: string): string => `vmconfig.${checkedIdent(ident)}.xml`;
export const autostartName = (ident: string): string => `autostart.${checkedIdent(ident)}`;
export const guestInfoName = (ident: string): string => `osinfo.${checkedIdent(ident)}`;
export const tpmStateName = (ident: string): string => `tpmstate.${checkedIdent(ident)}.tar`;
export const stagedCheckpointName = (checkpoint: string): string => `${checkedIdent(checkpoint)}.checkpoint.xml`;
export const checkpointListName = (domain: string): string => assertSafeName(`${domain}.cpt`);
export const vmLockName = (uuid: string): string => assertSafeName(`virtnbd.vm.${uuid}.lock`);

export function recoveryKeyName(volume: string, ident: string): string {
  return assertSafeName(`bitlocker.recovery.key.${volume}.${checkedIdent(ident)}`);
}

export function imageInfoName(disk: string, ident: string): string {
  if (!isDiskName(disk)) throw bad(disk, 'it is not the name of a disk');
  return `${disk}.${checkedIdent(ident)}.qcow.json`;
}

/** A boot file keeps its base name; only at level copy nothing is added to it. */
export function bootFileName(base: string, ident: string): string {
  const name = ident === 'copy' ? base : `${base}.${checkedIdent(ident)}`;
  const parsed = parseFileName(assertSafeName(name));
  if (parsed !== null && parsed.kind !== 'boot') throw bad(name, 'a boot file may not be named like a part of the set');
  return name;
}

/** The run's log. @param time local time is used, as the established tool does */
export function logFileName(level: string, time: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${two(time.getMonth() + 1)}${two(time.getDate())}${time.getFullYear()}`;
  const clock = `${two(time.getHours())}${two(time.getMinutes())}${two(time.getSeconds())}`;
  return assertSafeName(`backup.${level}.${day}${clock}.log`);
}

function checkedIdent(ident: string): string {
  if (!isPointId(ident)) throw bad(ident, 'a restore point is named virtnbdbackup.N, copy, or by a unix time');
  return ident;
}

function bad(name: string, reason: string): BackupSetError {
  return new BackupSetError('BAD_NAME', `${JSON.stringify(name)} cannot be used here: ${reason}.`, { file: name });
}

/**
 * Tells what a name in a backup folder stands for; null for a name that belongs to nobody (a boot file of a copy, whose
 * name is only its base name, among them). An increment's checkpoint name is returned as it stands, ours or not.
 */
export function parseFileName(name: string): SetFile | null {
  if (unsafe(name) !== null) return null;
  const partial = name.endsWith(PARTIAL_SUFFIX);
  const bare = partial ? name.slice(0, -PARTIAL_SUFFIX.length) : name;
  return parseData(bare, partial) ?? parseOwn(bare, partial) ?? parseNamed(bare, partial) ?? parseBoot(bare, partial);
}

function parseData(name: string, partial: boolean): SetFile | null {
  const match = /^([^.]+)\.(?:(full|copy)|(inc|diff)\.(.+))\.(data|data\.chksum|chunks)$/s.exec(name);
  const disk = match?.[1];
  if (match === null || disk === undefined || !isDiskName(disk)) return null;
  const level = LEVELS.find((known) => known === (match[2] ?? match[3]));
  const ident = match[4] ?? null;
  if (level === undefined || (level === 'diff' && !UNIX_TIME.test(ident ?? ''))) return null;
  const kind = match[5] === 'data' ? 'data' : match[5] === 'chunks' ? 'chunks' : 'adler32';
  return { kind, disk, level, ident, partial };
}

function parseOwn(name: string, partial: boolean): SetFile | null {
  if (name === SET_LOCK_NAME) return { kind: 'set-lock', partial };
  if (/^virtnbd\.vm\.[^.]+\.lock$/.test(name)) return { kind: 'vm-lock', partial };
  const match = /^(.+)\.(manifest|verdict|intent)\.json$/.exec(name);
  const ident = match?.[1];
  if (ident !== undefined && isPointId(ident)) {
    const kind = match?.[2] === 'manifest' ? 'manifest' : match?.[2] === 'verdict' ? 'verdict' : 'intent';
    return { kind, ident, partial };
  }
  const staged = /^(virtnbdbackup\.\d+)\.checkpoint\.xml$/.exec(name)?.[1];
  return staged !== undefined && isPointId(staged) ? { kind: 'checkpoint-xml', ident: staged, partial } : null;
}

function parseNamed(name: string, partial: boolean): SetFile | null {
  const xml = /^vmconfig\.(.+)\.xml$/.exec(name)?.[1];
  if (xml !== undefined && isPointId(xml)) return { kind: 'domain-xml', ident: xml, partial };
  const image = /^([^.]+)\.(.+)\.qcow\.json$/.exec(name);
  if (image?.[1] !== undefined && image[2] !== undefined && isDiskName(image[1]) && isPointId(image[2])) {
    return { kind: 'image-info', disk: image[1], ident: image[2], partial };
  }
  const tpm = /^tpmstate\.(.+)\.tar$/.exec(name)?.[1];
  if (tpm !== undefined && isPointId(tpm)) return { kind: 'tpm-state', ident: tpm, partial };
  const log = /^backup\.([a-z]+)\.(\d{14})\.log$/.exec(name);
  if (log?.[1] !== undefined && log[2] !== undefined) return { kind: 'log', level: log[1], stamp: log[2], partial };
  const domain = /^(.+)\.cpt$/s.exec(name)?.[1];
  return domain === undefined ? null : { kind: 'checkpoint-list', domain, partial };
}

function parseBoot(name: string, partial: boolean): SetFile | null {
  const match = ENDS_IN_IDENT.exec(name);
  const base = match?.[1];
  const ident = match?.[2];
  if (base === undefined || ident === undefined) return null;
  if (base === 'autostart') return { kind: 'autostart', ident, partial };
  if (base === 'osinfo') return { kind: 'guest-info', ident, partial };
  const volume = /^bitlocker\.recovery\.key\.(.+)$/s.exec(base)?.[1];
  if (volume !== undefined) return { kind: 'recovery-key', volume, ident, partial };
  return { kind: 'boot', base, ident, partial };
}
