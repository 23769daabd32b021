import { crc32 } from '@virtnbd/checksums';
import { StreamFormatError, type StreamFormatErrorCode, withFileName } from '../errors.ts';
import type { FrameIndex } from '../frames/frame-index.ts';
import type { StreamMeta } from '../frames/meta.ts';
import { openByTable } from '../read/open.ts';
import { type ScannedStream, scanStream } from '../read/scan.ts';
import { type GuestRange, StreamFile } from '../read/stream-file.ts';
import type { RandomAccessSource } from '../source.ts';
import { Adler32 } from './adler32.ts';
import type { ChunkChecksums } from './chunk-checksums.ts';

/**
 * How far a check goes: `structure`: all headers, the trailer, the end, and the frame table against them; `checksums`:
 * besides, every byte against the checksums that are given; `frames`: besides, every compressed frame decoded to its
 * exact length, its own checksums verified.
 */
export type CheckDepth = 'structure' | 'checksums' | 'frames';

export interface CheckOptions {
  readonly depth?: CheckDepth;
  /** Chunk checksums of the file. */
  readonly checksums?: ChunkChecksums | undefined;
  /** Adler-32 that the whole file should have. */
  readonly adler32?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Name of the file, to begin every message with. */
  readonly name?: string | undefined;
  /** Bytes of the file that were read, of all that will be; with `frames` a compressed file is read twice. */
  readonly onProgress?: ((progress: { done: number; total: number }) => void) | undefined;
}

/** One thing that is wrong with a file. */
export interface StreamProblem {
  readonly code: StreamFormatErrorCode;
  readonly message: string;
  /** Where in the file, in bytes, where it is known. */
  readonly fileOffset?: number;
  /** How much of the file, in bytes, where it is known. */
  readonly fileLength?: number;
  /** The guest ranges that it spoils, where they are known. Without any a chunk holds no payload. */
  readonly guest?: readonly GuestRange[];
}

export interface CheckReport {
  /** Whether nothing is wrong. */
  readonly sound: boolean;
  /** The first 1000. */
  readonly problems: readonly StreamProblem[];
  readonly problemCount: number;
  /** Absent when the file cannot be read at all. */
  readonly meta?: StreamMeta;
  readonly index?: FrameIndex;
  /** Chunks whose checksum was compared. */
  readonly chunksChecked: number;
  /** Adler-32 of the file, when all of it was read. */
  readonly adler32?: number;
  /** Data frames that were decoded. */
  readonly framesDecoded: number;
}

const PROBLEMS_KEPT = 1000;
const READ_BYTES = 1024 * 1024;
const FRAMES_IN_FLIGHT = 3;

/**
 * Checks a stream file. What is wrong is reported, not thrown, and the check goes on as far as it can.
 *
 * @throws `signal.reason`; errors of the source
 */
export async function checkStream(source: RandomAccessSource, options: CheckOptions = {}): Promise<CheckReport> {
  return await new Check(source, options).run();
}

class Check {
  readonly #source: RandomAccessSource;
  readonly #options: CheckOptions;
  readonly #problems: StreamProblem[] = [];
  #problemCount = 0;
  #done = 0;
  #total = 0;

  constructor(source: RandomAccessSource, options: CheckOptions) {
    this.#source = source;
    this.#options = options;
  }

  async run(): Promise<CheckReport> {
    const { depth = 'structure', checksums, adler32: expected } = this.#options;
    const scanned = await this.#structure();
    const file = scanned && new StreamFile(this.#source, scanned, this.#options.name);
    const readsAll = depth !== 'structure' && (checksums !== undefined || expected !== undefined);
    const decodes = depth === 'frames' && file?.compressed === true;
    this.#total = (readsAll ? this.#source.size : 0) + (decodes ? this.#source.size : 0);
    const adler32 = readsAll ? await this.#bytes(file) : undefined;
    const framesDecoded = decodes ? await this.#frames(file) : 0;
    return {
      sound: this.#problemCount === 0,
      problems: this.#problems,
      problemCount: this.#problemCount,
      ...(scanned && { meta: scanned.meta, index: scanned.index }),
      chunksChecked: readsAll ? (checksums?.count ?? 0) : 0,
      ...(adler32 !== undefined && { adler32 }),
      framesDecoded,
    };
  }

  /** What the headers say, or else the frame table; both when they are there, and compared. */
  async #structure(): Promise<ScannedStream | undefined> {
    const { checksums, signal } = this.#options;
    if (checksums && checksums.fileSize !== this.#source.size) {
      const what = `The file has ${this.#source.size} bytes, but its checksums were made of ${checksums.fileSize}`;
      this.#problem(
        new StreamFormatError('CHECKSUM', what, { fileOffset: Math.min(checksums.fileSize, this.#source.size) }),
      );
    }
    const scanned = await this.#attempt(() => scanStream(this.#source, signal));
    const frameTable = checksums?.frameTable;
    if (checksums === undefined || frameTable === undefined) return scanned;
    const known = await this.#attempt(() => openByTable(this.#source, frameTable, checksums.fileSize));
    if (scanned && known && !sameFrames(scanned.index, known.index)) {
      const what = 'The headers of the file are not what the frame table in its chunk checksum file says';
      this.#problem(new StreamFormatError('BAD_CHECKSUM_FILE', what));
    }
    return known ?? scanned;
  }

  async #attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof StreamFormatError)) throw error;
      this.#problem(error);
      return undefined;
    }
  }

  /** Reads the whole file once, the next portion while the last one is compared. Returns its Adler-32. */
  async #bytes(file: StreamFile | undefined): Promise<number> {
    const { checksums, adler32: expected } = this.#options;
    const sum = new Adler32();
    const chunkSize = checksums?.chunkSize ?? READ_BYTES;
    const step = Math.max(chunkSize, READ_BYTES - (READ_BYTES % chunkSize));
    const { size } = this.#source;
    const buffers = [new Uint8Array(Math.min(step, size)), new Uint8Array(Math.min(step, size))] as const;
    const read = async (offset: number): Promise<Uint8Array> => {
      const part = buffers[(offset / step) % 2 === 0 ? 0 : 1].subarray(0, Math.max(0, size - offset));
      if (part.length > 0) await this.#source.read(offset, part);
      return part;
    };
    let reading = read(0);
    for (let offset = 0; offset < size; offset += step) {
      const part = await reading;
      reading = read(offset + step);
      reading.catch(() => undefined);
      this.#options.signal?.throwIfAborted();
      sum.update(part);
      if (checksums) this.#chunks(part, offset, checksums, file);
      this.#progress(part.length);
    }
    if (expected !== undefined && sum.value !== expected) {
      const what = `The Adler-32 of the file is ${sum.value} and should be ${expected}: the file is damaged or another`;
      this.#problem(new StreamFormatError('CHECKSUM', what));
    }
    return sum.value;
  }

  /** Compares the chunks in a portion of the file that begins with one. */
  #chunks(part: Uint8Array, offset: number, checksums: ChunkChecksums, file: StreamFile | undefined): void {
    for (let at = 0; at < part.length; at += checksums.chunkSize) {
      const chunk = (offset + at) / checksums.chunkSize;
      const bytes = part.subarray(at, at + checksums.chunkSize);
      if (chunk < checksums.count && crc32(bytes) === checksums.crc(chunk)) continue;
      const fileOffset = offset + at;
      const what = `The file is damaged between byte ${fileOffset} and byte ${fileOffset + bytes.length}: the checksum differs`;
      const error = new StreamFormatError('CHECKSUM', what, { fileOffset });
      this.#problem(error, {
        fileLength: bytes.length,
        ...(file && { guest: file.guestRanges(fileOffset, bytes.length) }),
      });
    }
  }

  /** Decodes every data frame. */
  async #frames(file: StreamFile): Promise<number> {
    const { index } = file;
    let next = 0;
    let decoded = 0;
    const failure = new AbortController();
    const worker = async (): Promise<void> => {
      for (let frame = next++; frame < index.count && !failure.signal.aborted; frame = next++) {
        this.#options.signal?.throwIfAborted();
        if (index.kind(frame) === 'zero') continue;
        if (await this.#decode(file, frame)) decoded++;
        this.#progress(index.storedLength(frame));
      }
    };
    const workers = Array.from({ length: FRAMES_IN_FLIGHT }, () => worker().catch((error) => failure.abort(error)));
    await Promise.all(workers);
    failure.signal.throwIfAborted();
    return decoded;
  }

  async #decode(file: StreamFile, frame: number): Promise<boolean> {
    const { index } = file;
    try {
      for (let done = 0; done < index.length(frame); ) done += (await file.piece(frame, done)).bytes.length;
      return true;
    } catch (error) {
      if (!(error instanceof StreamFormatError)) throw error;
      this.#problem(error, {
        fileLength: index.storedLength(frame),
        guest: [{ start: index.start(frame), length: index.length(frame) }],
      });
      return false;
    }
  }

  #problem(error: StreamFormatError, more: Partial<StreamProblem> = {}): void {
    this.#problemCount++;
    if (this.#problems.length >= PROBLEMS_KEPT) return;
    const named = withFileName(error, this.#options.name);
    const message = named instanceof Error ? named.message : error.message;
    const place = error.fileOffset === undefined ? {} : { fileOffset: error.fileOffset };
    this.#problems.push({ code: error.code, message, ...place, ...more });
  }

  #progress(bytes: number): void {
    this.#done += bytes;
    this.#options.onProgress?.({ done: Math.min(this.#done, this.#total), total: this.#total });
  }
}

function sameFrames(a: FrameIndex, b: FrameIndex): boolean {
  if (a.count !== b.count) return false;
  for (let i = 0; i < a.count; i++) {
    const same = a.start(i) === b.start(i) && a.length(i) === b.length(i) && a.fileOffset(i) === b.fileOffset(i);
    if (!same || a.storedLength(i) !== b.storedLength(i)) return false;
  }
  return true;
}
