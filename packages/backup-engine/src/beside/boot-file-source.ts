import { dirname } from 'node:path';
import type { Host } from '@virtnbd/host';
import { type LibvirtConnection, LibvirtError } from '@virtnbd/libvirt-ops';
import { BackupError } from '../errors.ts';

/** Where the files are read that a VM needs to start. */
export interface BootFileSource {
  /** @throws BackupError BOOT_FILE when the file cannot be read */
  requireReadable(kind: string, path: string): Promise<void>;
  content(path: string, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

const PIECE = 1 << 20;
/** No pool has the file; a libvirt without pools. */
const NO_VOLUME: readonly string[] = ['NO_STORAGE_VOL', 'NO_SUPPORT'];

/** The hypervisor's files, or, where only libvirt is reached, those that it knows as volumes. */
export function bootFileSource(host: Host | null, libvirt: Pick<LibvirtConnection, 'readVolume'>): BootFileSource {
  return host === null ? volumes(libvirt) : files(host);
}

function files(host: Host): BootFileSource {
  return {
    async requireReadable(kind, path) {
      try {
        await using _file = await host.files.open(path, 'read');
      } catch (cause) {
        const text =
          `the VM's ${kind} cannot be read, and without it the backup would not start: ${textOf(cause)}; as the user who ` +
          `makes backups, this must work: head -c 1 '${path}'`;
        throw new BackupError('BOOT_FILE', text, { cause });
      }
    },
    async *content(path, signal) {
      await using file = await host.files.open(path, 'read');
      const size = await file.size();
      for (let at = 0; at < size; at += PIECE) {
        signal.throwIfAborted();
        const piece = new Uint8Array(Math.min(PIECE, size - at));
        await file.read(at, piece);
        yield piece;
      }
    },
  };
}

function volumes(libvirt: Pick<LibvirtConnection, 'readVolume'>): BootFileSource {
  return {
    async requireReadable(kind, path) {
      try {
        await libvirt.readVolume(path, 0, 1);
      } catch (cause) {
        if (!(cause instanceof LibvirtError)) throw cause;
        const why = NO_VOLUME.includes(cause.code)
          ? "no active storage pool has it: its folder becomes one by: virsh pool-create-as NAME dir --target '" +
            `${dirname(path)}'; a pool that is older than the file sees it after: virsh pool-refresh`
          : cause.message;
        const text =
          `the VM's ${kind}, ${path}, is a file on the hypervisor, and over this URI only libvirt's daemon is reached, which ` +
          `cannot send it: ${why}. Or connect with qemu+ssh`;
        throw new BackupError('BOOT_FILE', text, { cause });
      }
    },
    async *content(path, signal) {
      for (let at = 0; ; at += PIECE) {
        signal.throwIfAborted();
        const piece = await libvirt.readVolume(path, at, PIECE);
        if (piece.length > 0) yield piece;
        if (piece.length < PIECE) return;
      }
    },
  };
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
