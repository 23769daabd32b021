/*
 * The "newc" cpio format that Linux takes as an initramfs (kernel: Documentation/driver-api/early-userspace/buffer-format.rst).
 * An entry is: "070701", thirteen fields of eight hexadecimal digits (ino, mode, uid, gid, nlink, mtime, filesize, devmajor,
 * devminor, rdevmajor, rdevminor, namesize with the NUL, check), the name with a NUL, padding to 4 bytes, the data, padding to
 * 4 bytes. The entry TRAILER!!! ends the archive.
 */

export type CpioEntry =
  | { readonly path: string; readonly kind: 'folder' }
  | { readonly path: string; readonly kind: 'file'; readonly data: Uint8Array; readonly mode: number }
  | { readonly path: string; readonly kind: 'link'; readonly to: string }
  | { readonly path: string; readonly kind: 'device'; readonly major: number; readonly minor: number };

const TYPE = { folder: 0o040755, file: 0o100000, link: 0o120777, device: 0o020600 } as const;

/** Packs the entries; folders that lead to an entry are added. Paths without a leading `/`. */
export function packCpio(entries: readonly CpioEntry[]): Uint8Array {
  const parts: Uint8Array[] = [];
  const folders = new Set<string>();
  let inode = 0;
  const add = (entry: CpioEntry): void => {
    const slash = entry.path.lastIndexOf('/');
    if (slash > 0) addFolder(entry.path.slice(0, slash));
    if (entry.kind === 'folder') folders.add(entry.path);
    parts.push(encode(entry, ++inode));
  };
  const addFolder = (path: string): void => {
    if (!folders.has(path)) add({ path, kind: 'folder' });
  };
  for (const entry of entries) {
    if (entry.kind !== 'folder' || !folders.has(entry.path)) add(entry);
  }
  parts.push(encode({ path: 'TRAILER!!!', kind: 'file', data: new Uint8Array(), mode: 0 }, 0));
  return Buffer.concat(parts);
}

function encode(entry: CpioEntry, inode: number): Uint8Array {
  const data = dataOf(entry);
  const mode = entry.kind === 'file' ? TYPE.file | entry.mode : TYPE[entry.kind];
  const [major, minor] = entry.kind === 'device' ? [entry.major, entry.minor] : [0, 0];
  const name = Buffer.from(`${entry.path}\0`);
  const fields = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, major, minor, name.length, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
  const head = Buffer.concat([Buffer.from(header), name]);
  return Buffer.concat([head, padding(head.length), data, padding(data.length)]);
}

function dataOf(entry: CpioEntry): Uint8Array {
  if (entry.kind === 'file') return entry.data;
  if (entry.kind === 'link') return Buffer.from(entry.to);
  return new Uint8Array();
}

function padding(length: number): Uint8Array {
  return new Uint8Array((4 - (length % 4)) % 4);
}
