import { assertSafeName } from '@virtnbd/backup-set';
import { RestoreError } from '../errors.ts';

/** A file or folder of a tar archive. */
export interface TarEntry {
  readonly kind: 'file' | 'folder';
  /** Relative; every part is safe as a file name. */
  readonly path: string;
  /** Permission bits, without set-uid and the like. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly content: Uint8Array;
}

const BLOCK = 512;
const MAX_ENTRIES = 1000;

/**
 * Reads a tar archive in the format of POSIX.1-1988 (ustar) that holds files and folders, and nothing else: no links, no
 * devices, no paths that lead out. Where the fields of a header stand is told at the backup's writer of it:
 *
 *     0 name 100 · 100 mode 8 · 108 uid 8 · 116 gid 8 · 124 size 12 · 148 checksum 8 · 156 type 1 · 257 "ustar\0" 6 · 345 prefix 155
 *
 * @param name of the archive, for messages
 * @throws RestoreError DAMAGED
 */
export function readTar(archive: Uint8Array, name: string): TarEntry[] {
  const bytes = Buffer.from(archive.buffer, archive.byteOffset, archive.byteLength);
  const fail = (problem: string): never => {
    throw new RestoreError('DAMAGED', `the archive ${name} is damaged: ${problem}. Use another copy of the folder.`);
  };
  const entries: TarEntry[] = [];
  for (let at = 0; ; ) {
    const header = bytes.subarray(at, at + BLOCK);
    if (header.length < BLOCK) return fail('it has no end');
    if (header.every((byte) => byte === 0)) return entries;
    if (entries.length === MAX_ENTRIES) return fail('it has too many entries');
    if (text(header, 257, 6) !== 'ustar' || octal(header, 148, 8) !== checksum(header)) return fail('a header is none');
    const type = text(header, 156, 1);
    if (type !== '0' && type !== '5') return fail('it holds something else than files and folders');
    const size = octal(header, 124, 12) ?? fail('a size is none');
    const content = bytes.subarray(at + BLOCK, at + BLOCK + size);
    if (content.length < size) return fail('a file is cut off');
    entries.push({
      kind: type === '0' ? 'file' : 'folder',
      path: safePath(text(header, 345, 155), text(header, 0, 100)),
      mode: (octal(header, 100, 8) ?? 0) & 0o777,
      uid: octal(header, 108, 8) ?? 0,
      gid: octal(header, 116, 8) ?? 0,
      content,
    });
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }
}

function safePath(prefix: string, name: string): string {
  const parts = `${prefix === '' ? '' : `${prefix}/`}${name.replace(/\/$/, '')}`.split('/');
  for (const part of parts) assertSafeName(part);
  return parts.join('/');
}

/** A field's text, to its first NUL. */
function text(header: Buffer, at: number, size: number): string {
  const field = header.subarray(at, at + size);
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end === -1 ? size : end);
}

/** null for what is no number. */
function octal(header: Buffer, at: number, size: number): number | null {
  const digits = text(header, at, size).trim();
  return /^[0-7]{1,11}$/.test(digits) ? Number.parseInt(digits, 8) : null;
}

/** Of all bytes, with the checksum's own field full of spaces. */
function checksum(header: Buffer): number {
  return header.reduce((sum, byte, at) => sum + (at >= 148 && at < 156 ? 0x20 : byte), 0);
}
