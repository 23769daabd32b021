import { basename } from 'node:path';
import { HostError, type HostErrorCode } from '@virtnbd/host';
import type { BlockSource, SourceExtent, SourceOptions } from '@virtnbd/nbd-server';
import { StreamFormatError } from '@virtnbd/stream-format';
import { RecoveryError, type RecoveryErrorFields } from '../errors.ts';

/** What is read: a virtual disk, or a raw image. */
export interface GuardedDisk {
  /** Bytes. */
  readonly size: number;
  read(offset: number, buffer: Uint8Array, options?: SourceOptions): Promise<void>;
  /** From `offset` or before it, without gaps, at least up to `offset + length`. */
  extents?(offset: number, length: number): Iterable<SourceExtent>;
}

/** A disk of a backup as a source of blocks: whatever makes bytes unreadable is RecoveryError `DAMAGED`. */
export class DamageGuard implements BlockSource {
  readonly size: number;
  /** Nothing is known of a raw image: then there is no block status. */
  readonly extents?: (offset: number, length: number) => Iterable<SourceExtent>;
  readonly #disk: GuardedDisk;
  readonly #where: { readonly disk: string; readonly point: string };

  constructor(disk: GuardedDisk, where: { readonly disk: string; readonly point: string }) {
    this.size = disk.size;
    this.#disk = disk;
    this.#where = where;
    if (disk.extents !== undefined) this.extents = disk.extents.bind(disk);
  }

  async read(offset: number, buffer: Uint8Array, options?: SourceOptions): Promise<void> {
    try {
      await this.#disk.read(offset, buffer, options);
    } catch (error) {
      const place = placeOfDamage(error);
      if (place === null || !(error instanceof Error)) throw error;
      const { disk, point } = this.#where;
      const range = `bytes ${offset} to ${offset + buffer.byteLength}`;
      const message = `${disk} at ${point} cannot be read at ${range}: ${error.message}`;
      throw new RecoveryError('DAMAGED', message, { ...this.#where, ...place, cause: error });
    }
  }
}

/** Failures of the machine that mean: these bytes cannot be had. */
const unreadable: ReadonlySet<HostErrorCode> = new Set(['NOT_FOUND', 'SHORT_READ', 'IO', 'WRONG_KIND', 'TOO_LARGE']);

/** The place in a backup file that an error blames; null for any other error. */
function placeOfDamage(error: unknown): Pick<RecoveryErrorFields, 'file' | 'fileOffset'> | null {
  if (error instanceof StreamFormatError && error.code !== 'USAGE') {
    return { file: error.file, fileOffset: error.fileOffset };
  }
  if (!(error instanceof HostError) || !unreadable.has(error.code)) return null;
  return { file: error.path === undefined ? undefined : basename(error.path) };
}
