import { BackupError } from '../errors.ts';

/** A file or folder of a tar archive. */
export interface TarEntry {
  readonly kind: 'file' | 'folder';
  /** Relative, its parts set apart by `/`. */
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Milliseconds since 1970. */
  readonly modified: number;
  readonly content: Uint8Array;
}

const BLOCK = 512;

/** Two empty blocks end an archive. */
export const TAR_END: Uint8Array = new Uint8Array(2 * BLOCK);

/**
 * One entry of a tar archive in the format of POSIX.1-1988 (ustar). A header of 512 bytes, then the content, filled up
 * to whole blocks. Numbers are octal digits in ASCII:
 *
 *     0 name 100 · 100 mode 8 · 108 uid 8 · 116 gid 8 · 124 size 12 · 136 mtime 12 · 148 checksum 8 · 156 type 1
 *     157 link 100 · 257 "ustar\0" 6 · 263 "00" 2 · 265 user 32 · 297 group 32 · 329 device 16 · 345 prefix 155
 */
export function* tarEntry(entry: TarEntry): Generator<Uint8Array> {
  const header = Buffer.alloc(BLOCK);
  const { name, prefix } = splitPath(entry.kind === 'folder' ? `${entry.path}/` : entry.path);
  header.write(name, 0, 'utf8');
  header.write(prefix, 345, 'utf8');
  writeOctal(header, entry.mode & 0o7777, 100, 8);
  writeOctal(header, entry.uid, 108, 8);
  writeOctal(header, entry.gid, 116, 8);
  writeOctal(header, entry.content.length, 124, 12);
  writeOctal(header, Math.max(0, Math.floor(entry.modified / 1000)), 136, 12);
  header.write(entry.kind === 'folder' ? '5' : '0', 156, 'latin1');
  header.write('ustar\0', 257, 'latin1');
  header.write('00', 263, 'latin1');
  // The checksum is taken with its own field full of spaces.
  header.fill(' ', 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  yield header;
  if (entry.content.length === 0) return;
  yield entry.content;
  yield new Uint8Array((BLOCK - (entry.content.length % BLOCK)) % BLOCK);
}

/** The name field has 100 bytes; what is longer gives its leading folders to the prefix, which has 155. */
function splitPath(path: string): { name: string; prefix: string } {
  if (Buffer.byteLength(path) <= 100) return { name: path, prefix: '' };
  for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1)) {
    const name = path.slice(at + 1);
    const prefix = path.slice(0, at);
    if (name !== '' && Buffer.byteLength(name) <= 100 && Buffer.byteLength(prefix) <= 155) return { name, prefix };
  }
  throw new BackupError('BAD_PATH', `${path} does not fit into a tar archive: its name is too long`);
}

function writeOctal(header: Buffer, value: number, at: number, size: number): void {
  const digits = value.toString(8).padStart(size - 1, '0');
  // A uid past the field's seven digits, of some user namespace: nobody restores by it.
  header.write(digits.length < size ? digits : '0'.repeat(size - 1), at, 'latin1');
}
