import { RecoveryError } from '../errors.ts';

export type GuestKind = 'file' | 'folder' | 'link' | 'device' | 'fifo' | 'socket';

/** A file, folder … inside a guest. */
export interface GuestEntry {
  /** Absolute, inside the file system. */
  readonly path: string;
  readonly kind: GuestKind;
  /** Bytes. */
  readonly size: number;
  /** Permission bits, with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970. */
  readonly modified: number;
  readonly links: number;
}

/** By the file type bits of a mode: S_IFMT in inode(7), moved down by 12 bits. */
const KINDS: Readonly<Record<number, GuestKind>> = {
  1: 'fifo',
  2: 'device',
  4: 'folder',
  6: 'device',
  8: 'file',
  10: 'link',
  12: 'socket',
};

/** Reads answers of `lstatns`, `st_dev: 2049` a line and its other fields below, one for each path in order. */
export function readEntries(lines: readonly string[], paths: readonly string[]): GuestEntry[] {
  const answers: Map<string, number>[] = [];
  for (const line of lines) {
    const match = /^(st_\w+): (-?\d+)$/.exec(line);
    if (match === null) throw new RecoveryError('GUEST_FILES', `libguestfs said what is not understood: ${line}`);
    if (match[1] === 'st_dev') answers.push(new Map());
    answers.at(-1)?.set(match[1] ?? '', Number(match[2]));
  }
  if (answers.length !== paths.length) throw new RecoveryError('GUEST_FILES', 'libguestfs did not tell of every file');
  return paths.map((path, index) => toEntry(path, answers[index] ?? new Map()));
}

function toEntry(path: string, fields: ReadonlyMap<string, number>): GuestEntry {
  const field = (name: string): number => fields.get(name) ?? 0;
  const mode = field('st_mode');
  return {
    path,
    kind: KINDS[mode >> 12] ?? 'device',
    size: field('st_size'),
    mode: mode & 0o7777,
    uid: field('st_uid'),
    gid: field('st_gid'),
    modified: field('st_mtime_sec'),
    links: field('st_nlink'),
  };
}

/** Splits a list of names that end with NUL. One that is not UTF-8 comes with its bytes as `\xHH`, and `valid` false. */
export function readNames(bytes: Uint8Array): { name: string; valid: boolean }[] {
  const names: { name: string; valid: boolean }[] = [];
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  for (let start = 0; start < bytes.length; ) {
    const zero = bytes.indexOf(0, start);
    const end = zero === -1 ? bytes.length : zero;
    const piece = bytes.subarray(start, end);
    start = end + 1;
    try {
      names.push({ name: decoder.decode(piece), valid: true });
    } catch {
      const shown = [...piece].map((byte) => (byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16)}`));
      names.push({ name: shown.join(''), valid: false });
    }
  }
  return names;
}
