import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { PointDisk } from '@virtnbd/backup-set';
import { type Host, HostError } from '@virtnbd/host';
import { Adler32, ChunkChecksums, type StreamFile } from '@virtnbd/stream-format';
import { RangeList } from '@virtnbd/virtual-disk';
import { isDamage } from '../errors.ts';
import { openFile, openStream } from '../open-stream.ts';
import { decodeFrames } from './decode-frames.ts';
import { mapDamage } from './frame-positions.ts';
import type { FileJob } from './jobs.ts';
import { ChunkComparison, type ReadOptions, readWhole, sha256Of } from './read-file.ts';
import type { Check, FileVerdict } from './report.ts';

/** What was found out about one file. */
export interface CheckedFile extends FileVerdict {
  fileRanges: RangeList;
  /** Damaged ranges of the disk; null when they cannot be told. */
  diskRanges: RangeList | null;
  /** A restore refuses the file altogether. */
  unusable: boolean;
}

export interface CheckOptions extends ReadOptions {
  deep: boolean;
}

/** Verifies one file. @throws what is no damage: HostError `PERMISSION` and the like, `signal.reason` */
export async function checkFile(host: Host, folder: string, job: FileJob, options: CheckOptions): Promise<CheckedFile> {
  const stat = await host.files.stat(join(folder, job.file));
  if (stat?.kind !== 'file') return missing(job);
  const check = new FileCheck(host, folder, job, options);
  return job.disk === null ? await check.side() : await check.data();
}

function missing(job: FileJob): CheckedFile {
  const message = `${job.file}, a file of ${job.point}, is missing.`;
  return { ...blank(job), fileBytes: null, verdict: 'damaged', message, diskRanges: null, unusable: true };
}

function blank({ file, point, disk, role }: FileJob): CheckedFile {
  const verdict = { verdict: 'ok', framesDecoded: null, message: null } as const;
  const found = { fileRanges: new RangeList(), diskRanges: new RangeList(), unusable: false };
  return { file, point, disk: disk?.disk ?? null, role, fileBytes: 0, check: 'none', ...verdict, ...found };
}

class FileCheck {
  readonly #host: Host;
  readonly #folder: string;
  readonly #job: FileJob;
  readonly #options: CheckOptions;
  #chunks: ChunkChecksums | undefined;

  constructor(host: Host, folder: string, job: FileJob, options: CheckOptions) {
    this.#host = host;
    this.#folder = folder;
    this.#job = job;
    this.#options = options;
  }

  /** A file beside the disks: its whole content has one checksum. */
  async side(): Promise<CheckedFile> {
    await using opened = await openFile(this.#host, join(this.#folder, this.#job.file));
    const digest = await sha256Of(opened.source, this.#options);
    const result: CheckedFile = { ...blank(this.#job), fileBytes: opened.source.size, check: 'sha256' };
    if (digest === this.#job.entry?.sha256) return result;
    return { ...result, verdict: 'damaged', message: `${this.#job.file} is not the file that the manifest names.` };
  }

  async data(): Promise<CheckedFile> {
    const result = await this.#checksums();
    if (this.#job.role === 'raw') {
      const located = !result.unusable && result.diskRanges !== null;
      return { ...result, diskRanges: located ? result.fileRanges : null };
    }
    return await this.#structure(result);
  }

  /** Compares the bytes with what there is to compare with. */
  async #checksums(): Promise<CheckedFile> {
    const { file, entry, size } = this.#job;
    await using opened = await openFile(this.#host, join(this.#folder, file));
    const { source } = opened;
    const result: CheckedFile = { ...blank(this.#job), fileBytes: source.size };
    const chunks = await this.#readChunks();
    this.#chunks = chunks ?? undefined;
    const adler32 = entry === null ? await this.#readAdler32() : (entry.adler32 ?? null);
    if (Number.isNaN(adler32)) {
      this.#options.onBytes?.(source.size);
      return damaged(result, 'adler32', `${file}.chksum holds no adler32 checksum: it is damaged.`);
    }
    const comparison = chunks === null ? null : new ChunkComparison(chunks);
    const sum = adler32 === null ? null : new Adler32();
    const unreadable = await readWhole(
      source,
      [comparison, sum].filter((digest) => digest !== null),
      this.#options,
    );
    const fileRanges = (comparison?.finish() ?? new RangeList()).with(unreadable);
    if (source.size !== size) {
      const message = `${file} has ${source.size} bytes and should have ${size}: it was cut off or changed.`;
      return damaged({ ...result, fileRanges }, comparison === null ? 'adler32' : 'chunks', message);
    }
    if (comparison !== null) {
      if (fileRanges.count > 0) return { ...result, check: 'chunks', fileRanges, ...bad(`${file}: checksums differ.`) };
      if (sum === null || sum.value === adler32) return { ...result, check: 'chunks' };
    }
    if (unreadable.count > 0) return damaged({ ...result, fileRanges }, 'none', `${file} cannot be read.`);
    if (sum === null) return { ...result, check: 'none', verdict: 'not-verifiable', message: this.#uncheckable() };
    if (sum.value === adler32) return { ...result, check: 'adler32' };
    return damaged(result, 'adler32', `${file} is not what its adler32 checksum was made of: it is damaged.`);
  }

  #uncheckable(): string {
    return `${this.#job.file} is not verifiable: the folder holds no checksum of it.`;
  }

  /** The chunk checksums, when they are what the manifest names. That they are not is told of their own file. */
  async #readChunks(): Promise<ChunkChecksums | null> {
    const { entry, size } = this.#job;
    if (entry?.chunks === undefined) return null;
    try {
      const limit = 4096 + 4 * Math.ceil(size / 4096);
      const bytes = await this.#host.files.readSmall(join(this.#folder, entry.chunks.name), limit);
      if (createHash('sha256').update(bytes).digest('hex') !== entry.chunks.sha256) return null;
      const chunks = ChunkChecksums.decode(bytes);
      return chunks.fileSize === size ? chunks : null;
    } catch (error) {
      if (isDamage(error)) return null;
      throw error;
    }
  }

  /** The number in `.chksum`; null without the file, NaN when it holds none. */
  async #readAdler32(): Promise<number | null> {
    if (this.#job.role === 'raw') return null;
    try {
      const bytes = await this.#host.files.readSmall(join(this.#folder, `${this.#job.file}.chksum`), 64);
      const text = Buffer.from(bytes).toString('latin1').trim();
      const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
      return value <= 0xffffffff ? value : Number.NaN;
    } catch (error) {
      if (error instanceof HostError && error.code === 'NOT_FOUND') return null;
      if (isDamage(error)) return Number.NaN;
      throw error;
    }
  }

  /** Reads the headers, under `deep` decodes every frame, and says where on the disk the damage lies. */
  async #structure(result: CheckedFile): Promise<CheckedFile> {
    const { disk, file } = this.#job;
    if (disk === null) return result;
    try {
      const refused = result.unusable || (await this.#isRefused(disk, result));
      // Where a restore can open the file, it knows the frames from elsewhere than from damaged headers.
      const checksums = result.fileRanges.count > 0 && !refused ? this.#chunks : undefined;
      const { signal } = this.#options;
      await using opened = await openStream(this.#host, this.#folder, disk, { signal, checksums });
      const mapped = mapDamage(opened.file, result.fileRanges, { headers: refused });
      const diskRanges = result.diskRanges === null ? null : mapped;
      return await this.#deep({ ...result, unusable: refused, diskRanges }, disk, opened.file);
    } catch (error) {
      if (!isDamage(error)) throw error;
      const message = error.message.startsWith(file) ? error.message : `${file}: ${error.message}`;
      return { ...result, ...bad(message), diskRanges: null, unusable: true };
    }
  }

  /** Whether a restore, which checks all that it reads, cannot even open the damaged file. */
  async #isRefused(disk: PointDisk, { fileRanges }: CheckedFile): Promise<boolean> {
    if (fileRanges.count === 0 || this.#chunks === undefined) return false;
    try {
      const { signal } = this.#options;
      await using _opened = await openStream(this.#host, this.#folder, disk, { signal, checksums: this.#chunks });
      return false;
    } catch (error) {
      if (isDamage(error)) return true;
      throw error;
    }
  }

  async #deep(found: CheckedFile, disk: PointDisk, file: StreamFile): Promise<CheckedFile> {
    if (!this.#options.deep) return found;
    if (!file.compressed) {
      this.#options.onBytes?.(disk.fileSize);
      return { ...found, framesDecoded: file.index.count };
    }
    const { damaged: lost, decoded, message } = await decodeFrames(file, this.#options);
    const deep = { ...found, framesDecoded: decoded };
    if (message === null) return deep;
    // Now the places are known, also where only the file as a whole has a checksum.
    return { ...deep, ...bad(deep.message ?? message), diskRanges: deep.diskRanges?.with(lost) ?? lost };
  }
}

function bad(message: string): { verdict: 'damaged'; message: string } {
  return { verdict: 'damaged', message };
}

/** Damaged, and where is not known, or more than that. */
function damaged(result: CheckedFile, check: Check, message: string): CheckedFile {
  return { ...result, check, ...bad(message), diskRanges: null, unusable: true };
}
