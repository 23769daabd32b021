import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { type Host, HostError, type HostFile } from '@virtnbd/host';
import {
  Adler32,
  ChunkChecksums,
  checkedSource,
  type RandomAccessSource,
  StreamFile,
  StreamFormatError,
} from '@virtnbd/stream-format';
import { BackupSetError } from '../errors.ts';
import { CHKSUM_SUFFIX } from '../names.ts';
import type { Manifest } from '../records/manifest.ts';
import type { Checked, OpenedLayer, OpenLayersOptions } from './layers.ts';
import type { PointDisk, RestorePoint } from './point.ts';

/** A file that a chain needs. */
export interface Part {
  point: RestorePoint;
  disk: PointDisk;
}

/** The parts of a disk's chain, base first. */
export function partsOf(chain: readonly RestorePoint[], disk: string): Part[] {
  return chain.flatMap((point) => {
    const found = point.disks.find((known) => known.disk === disk);
    return found === undefined ? [] : [{ point, disk: found }];
  });
}

const BLOCK = 1024 * 1024;
/** A chunk checksum file has 4 bytes for at least 4096 of the data file, and a little around. */
const chunkFileLimit = (size: number): number => 4096 + 4 * Math.ceil(size / 4096);

/** Opens the files of a set behind the best checks that the folder offers, and closes them together. */
export class PartReader {
  readonly notes: string[] = [];
  readonly #host: Host;
  readonly #folder: string;
  readonly #options: OpenLayersOptions;
  readonly #total: number;
  readonly #files: HostFile[] = [];
  #done = 0;

  constructor(host: Host, folder: string, options: OpenLayersOptions, total: number) {
    this.#host = host;
    this.#folder = folder;
    this.#options = options;
    this.#total = total;
  }

  async openLayer(part: Part): Promise<OpenedLayer> {
    const { point, disk } = part;
    if (disk.kind === 'raw') {
      const text = `${disk.file} is a raw image, and increments cannot be built upon one.`;
      throw new BackupSetError('DAMAGED', text, { file: disk.file, point: point.id, disk: disk.disk });
    }
    const { source, checked } = await this.openSource(part);
    const { signal } = this.#options;
    const file = await StreamFile.open(source, { name: disk.file, ...(signal === undefined ? {} : { signal }) });
    requireSameHeader(part, file);
    return { name: disk.file, point: point.id, file, checked };
  }

  /** Opens one file behind the best check that the folder offers. */
  async openSource({ point, disk }: Part): Promise<{ source: RandomAccessSource; checked: Checked }> {
    this.#options.signal?.throwIfAborted();
    const file = await this.open(disk.file, point.id);
    const size = await file.size();
    const source: RandomAccessSource = { size, read: (offset, buffer) => file.read(offset, buffer) };
    const fields = { file: disk.file, point: point.id, disk: disk.disk };
    if (size !== disk.fileSize) {
      const text = `${disk.file} has ${size} bytes and should have ${disk.fileSize}: it was cut off or changed.`;
      throw new BackupSetError('DAMAGED', text, fields);
    }
    if (point.manifest !== null) {
      const chunks = await this.#readChunks(point.manifest, disk.file, size);
      return { source: checkedSource(source, chunks), checked: 'chunks' };
    }
    if (this.#options.assumeVerified) return { source, checked: 'assumed' };
    const expected = await this.#readAdler32(disk.file);
    if (expected === null) {
      this.notes.push(`${disk.file} was not checked: the folder holds no checksum of it.`);
      return { source, checked: 'none' };
    }
    if ((await this.#adler32(source)) !== expected) {
      const text = `${disk.file} is not what ${disk.file}${CHKSUM_SUFFIX} was made of: it is damaged. Use another copy.`;
      throw new BackupSetError('CHECKSUM', text, fields);
    }
    return { source, checked: 'adler32' };
  }

  async close(): Promise<void> {
    const results = await Promise.allSettled(this.#files.splice(0).map((file) => file.close()));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  async open(name: string, point: string): Promise<HostFile> {
    try {
      const file = await this.#host.files.open(join(this.#folder, name), 'read');
      this.#files.push(file);
      return file;
    } catch (cause) {
      if (!(cause instanceof HostError) || cause.code !== 'NOT_FOUND') throw cause;
      throw new BackupSetError('MISSING_FILE', `${name}, a file of ${point}, is missing.`, {
        file: name,
        point,
        cause,
      });
    }
  }

  /** The checksums of a file's chunks, as its manifest has them. */
  async checksumsOf({ point: { id, manifest }, disk }: Part): Promise<ChunkChecksums> {
    if (manifest !== null) return await this.#readChunks(manifest, disk.file, disk.fileSize);
    const text = `${disk.file} has no checksums of chunks: ${id} has no manifest.`;
    throw new BackupSetError('BAD_CHECKSUM_FILE', text, { file: disk.file, point: id });
  }

  async #readChunks(manifest: Manifest, name: string, size: number): Promise<ChunkChecksums> {
    const entry = manifest.files.find((file) => file.name === name)?.chunks;
    const point = manifest.point;
    if (entry === undefined)
      throw new BackupSetError('BAD_MANIFEST', `${name} has no checksums.`, { file: name, point });
    const bytes = await this.#read(entry.name, chunkFileLimit(size), point);
    if (createHash('sha256').update(bytes).digest('hex') !== entry.sha256) {
      const text = `${entry.name} is not the file that the manifest of ${point} names: it is damaged. Use another copy.`;
      throw new BackupSetError('CHECKSUM', text, { file: entry.name, point });
    }
    try {
      return ChunkChecksums.decode(bytes);
    } catch (cause) {
      if (!(cause instanceof StreamFormatError)) throw cause;
      const text = `${entry.name}: ${cause.message}`;
      throw new BackupSetError('BAD_CHECKSUM_FILE', text, { file: entry.name, point, cause });
    }
  }

  async #read(name: string, limit: number, point: string): Promise<Uint8Array> {
    try {
      return await this.#host.files.readSmall(join(this.#folder, name), limit);
    } catch (cause) {
      if (!(cause instanceof HostError)) throw cause;
      const code = cause.code === 'NOT_FOUND' ? 'MISSING_FILE' : cause.code === 'TOO_LARGE' ? 'DAMAGED' : null;
      if (code === null) throw cause;
      throw new BackupSetError(code, `${name}, a file of ${point}: ${cause.message}`, { file: name, point, cause });
    }
  }

  /** The number in the `.chksum` file; null when there is none. */
  async #readAdler32(name: string): Promise<number | null> {
    const file = `${name}${CHKSUM_SUFFIX}`;
    if ((await this.#host.files.stat(join(this.#folder, file))) === null) return null;
    const text = Buffer.from(await this.#read(file, 64, name))
      .toString('latin1')
      .trim();
    const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
    if (value <= 0xffffffff) return value;
    throw new BackupSetError('BAD_CHECKSUM_FILE', `${file} holds no adler32 checksum: it is damaged.`, { file });
  }

  async #adler32(source: RandomAccessSource): Promise<number> {
    const sum = new Adler32();
    const buffer = new Uint8Array(Math.min(BLOCK, source.size));
    for (let offset = 0; offset < source.size; offset += buffer.length) {
      this.#options.signal?.throwIfAborted();
      const block = buffer.subarray(0, Math.min(buffer.length, source.size - offset));
      await source.read(offset, block);
      sum.update(block);
      this.#done += block.length;
      this.#options.onProgress?.({ done: this.#done, total: this.#total });
    }
    return sum.value;
  }
}

/** The file must be the one that the manifest, or the listing of the folder, took it for. */
function requireSameHeader({ point, disk }: Part, { meta }: StreamFile): void {
  const header = point.manifest?.disks.find(({ file }) => file === disk.file)?.header;
  const parent = meta.parentCheckpoint === false ? '' : meta.parentCheckpoint;
  const same =
    meta.diskName === disk.disk &&
    meta.virtualSize === disk.virtualSize &&
    meta.incremental === disk.incremental &&
    (header == null
      ? !meta.incremental || parent === disk.parent
      : parent === header.parentCheckpoint && meta.checkpointName === header.checkpointName);
  if (same) return;
  const listed = point.manifest === null;
  const says = listed ? 'what it was when the folder was listed' : 'what the manifest says';
  const text = `The header of ${disk.file} is not ${says}: it is another file. Use another copy of the folder.`;
  throw new BackupSetError('FOREIGN', text, { file: disk.file, point: point.id, disk: disk.disk });
}
