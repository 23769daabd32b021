import { guestfsUri, type MappedExport } from '@virtnbd/recovery-engine';

/** Command lines that use an export, ready to be copied to a shell. */
export function exportCommands({ name, uri, writable }: MappedExport): string[] {
  const image = /^[\w@.-]+$/.test(name) ? `${name}.qcow2` : 'disk.qcow2';
  // In an option of qemu's a comma is written twice.
  const drive = `file=${uri.replaceAll(',', ',,')},format=raw,if=virtio${writable ? '' : ',snapshot=on'}`;
  return [
    ['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', uri, image],
    ['guestfish', '--ro', '--format=raw', '-a', guestfsUri(uri), '-i'],
    ['guestmount', '--ro', '--format=raw', '-a', guestfsUri(uri), '-i', '/mnt'],
    ['qemu-system-x86_64', '-m', '2048', '-drive', drive],
  ].map(commandLine);
}

/** Command lines that use a block device. */
export function deviceCommands(device: string): string[] {
  return [
    ['fdisk', '-l', device],
    ['mount', '-o', 'ro', `${device}p1`, '/mnt'],
    ['qemu-img', 'create', '-f', 'qcow2', '-F', 'raw', '-b', device, 'bootme.qcow2'],
  ].map(commandLine);
}

function commandLine(words: readonly string[]): string {
  return words.map(shellWord).join(' ');
}

/** A word as any shell takes it for itself. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
