import type { ChunkChecksums } from '../checks/chunk-checksums.ts';
import { StreamFormatError } from '../errors.ts';
import type { CompressionMethod } from '../frames/codec.ts';
import { encodeFrameHeader, FRAME_HEADER_BYTES, PAYLOAD_END } from '../frames/frame-header.ts';
import { FrameTableBuilder } from '../frames/frame-table.ts';
import { encodeMeta, type StreamMeta } from '../frames/meta.ts';
import { encodeTrailer } from '../frames/trailer.ts';
import { MAX_META_BYTES, WRITE_LIMIT_BYTES } from '../limits.ts';
import type { Sink } from '../source.ts';
import { createEncoder, type Encoder } from './encoder.ts';
import { FrameQueue } from './frame-queue.ts';
import { SEGMENT_BYTES } from './segment-memory.ts';
import { type PayloadPlace, SegmentWriter } from './segment-writer.ts';

const SEGMENTS = 6;

export interface StreamWriterOptions {
  /** `zstd` is an addition of ours: a file of version 3, which the established tool refuses. */
  readonly compression?: CompressionMethod | undefined;
  /**
   * LZ4: 1 and 2 the fast compressor, to 12 ever smaller and slower; 2 by default, and the highest without liblz4. zstd: 1 to
   * 22, 3 by default. The nearest one that there is is taken; the meta frame tells it.
   */
  readonly level?: number | undefined;
  /** Bytes of a chunk of the chunk checksums; 256 KiB by default. */
  readonly chunkSize?: number;
  /** Pieces of 1 MiB that are filled, written and summed up at the same time: 3 or more, 6 by default. */
  readonly segments?: number;
}

export interface StreamSummary {
  /** Bytes of the file. */
  readonly size: number;
  /** Adler-32 of the whole file: what the established tool keeps in `*.chksum`. */
  readonly adler32: number;
  readonly dataFrames: number;
  readonly zeroFrames: number;
  /** Guest bytes in data frames. */
  readonly dataSize: number;
  /** Bytes of their payloads in the file. */
  readonly storedSize: number;
  readonly chunks: ChunkChecksums;
}

/**
 * Writes a stream file of version 2; of version 3 with zstd.
 *
 * `start` comes first, then `data` and `zero` in ascending order and without overlap, then `finish`. The calls may
 * overlap: frames are written in the order of the calls, and payloads are compressed at the same time. The caller bounds
 * the memory by the number of calls that it leaves open. After a call, or the sink, has failed every later one fails; the
 * file is then good for nothing.
 */
export class StreamWriter {
  readonly #meta: StreamMeta;
  readonly #method: CompressionMethod | undefined;
  readonly #level: number | undefined;
  readonly #frames = new FrameTableBuilder();
  readonly #file: SegmentWriter;
  readonly #queue = new FrameQueue();
  readonly #storedSizes: number[] = [];
  #encoder: Encoder | undefined;
  #state: 'new' | 'starting' | 'open' | 'finished' = 'new';
  #guestEnd = 0;
  #dataSize = 0;
  #dataFrames = 0;
  #zeroFrames = 0;
  #storedSize = 0;
  #firstFrame = 0;

  /**
   * @param meta `compressed`, `compressionMethod` and `streamVersion` are written as the options say; a number in
   *   `compressed` is the level where the options name none
   */
  constructor(sink: Sink, meta: StreamMeta, options: StreamWriterOptions = {}) {
    this.#method = options.compression;
    const { compressed } = meta;
    this.#level = options.level ?? (typeof compressed === 'number' && compressed > 0 ? compressed : undefined);
    const { chunkSize, segments = SEGMENTS } = options;
    this.#file = new SegmentWriter(sink, { chunkSize, segments, expected: meta.dataSize });
    const streamVersion = this.#method === 'zstd' ? 3 : 2;
    this.#meta = { ...meta, compressed: false, compressionMethod: this.#method ?? 'lz4', streamVersion };
  }

  /** Takes the meta frame. */
  async start(): Promise<void> {
    if (this.#state !== 'new') throw this.#fail(usage('start was called before'));
    this.#state = 'starting';
    let compressed: false | number = false;
    try {
      this.#encoder = this.#method && (await createEncoder(this.#method, this.#level));
      compressed = this.#encoder?.level ?? false;
    } catch (error) {
      throw this.#fail(error);
    }
    const json = encodeMeta({ ...this.#meta, compressed });
    if (json.length > MAX_META_BYTES) {
      throw this.#fail(new StreamFormatError('LIMIT', `The meta frame has ${json.length} bytes; the limit is 1 MiB`));
    }
    this.#state = 'open';
    this.#firstFrame = FRAME_HEADER_BYTES + json.length + PAYLOAD_END.length;
    await this.#queue.turn(() => this.#file.add([encodeFrameHeader('meta', 0, json.length), json, PAYLOAD_END]));
  }

  /**
   * Writes a data frame. It resolves when the payload was taken, before the sink has it: `finish` tells whether that went well.
   *
   * @param start of the guest range, in bytes
   * @param payload 1 byte to less than 32 MiB; it may be used again once the promise settles
   */
  async data(start: number, payload: Uint8Array): Promise<void> {
    if (payload.length >= WRITE_LIMIT_BYTES) throw this.#fail(usage(`a data frame of ${payload.length} bytes`));
    this.#checkRange('data', start, payload.length);
    this.#dataFrames++;
    this.#dataSize += payload.length;
    const header = encodeFrameHeader('data', start, payload.length);
    const add = async (stored: Uint8Array): Promise<void> => {
      this.#countData(start, payload.length, stored.length);
      await this.#file.add([header, stored, PAYLOAD_END]);
    };
    if (this.#encoder === undefined) return await this.#queue.turn(() => add(payload));
    const encoding = this.#encoder.encode(payload);
    try {
      await this.#queue.turn(async () => add((await encoding).bytes));
    } finally {
      // The payload is in use till then, also after another frame has failed.
      const encoded = await encoding.catch(() => undefined);
      encoded?.release();
    }
  }

  /**
   * Makes room for a data frame's payload in the memory that the sink is given, which spares a copy. Any number of places may be filled
   * at the same time and in any order; all before `finish`.
   *
   * @param start of the guest range, in bytes
   * @param length of the payload, in bytes
   * @returns null, and nothing is done, where payloads are compressed or this one is longer than 1 MiB: give it to `data`
   */
  async place(start: number, length: number): Promise<PayloadPlace | null> {
    if (this.#encoder !== undefined || length > SEGMENT_BYTES) return null;
    this.#checkRange('data', start, length);
    this.#dataFrames++;
    this.#dataSize += length;
    return await this.#queue.turn(async () => {
      this.#countData(start, length, length);
      await this.#file.add([encodeFrameHeader('data', start, length)]);
      const place = await this.#file.room(length);
      await this.#file.add([PAYLOAD_END]);
      return place;
    });
  }

  /** Writes a zero frame: the range reads as zeroes. */
  async zero(start: number, length: number): Promise<void> {
    this.#checkRange('zero', start, length);
    this.#zeroFrames++;
    await this.#queue.turn(async () => {
      this.#frames.zero(start, length);
      await this.#file.add([encodeFrameHeader('zero', start, length)]);
    });
  }

  /**
   * Writes the stop frame and the trailer, after all frames before.
   *
   * @throws StreamFormatError USAGE when the data frames do not add up to `meta.dataSize`
   */
  async finish(): Promise<StreamSummary> {
    this.#checkOpen();
    if (this.#dataSize !== this.#meta.dataSize) {
      throw this.#fail(usage(`dataSize is ${this.#meta.dataSize}, but ${this.#dataSize} bytes of data were written`));
    }
    this.#state = 'finished';
    const sums = await this.#queue.turn(() => this.#finishFile());
    return {
      ...sums,
      size: this.#file.size,
      dataFrames: this.#dataFrames,
      zeroFrames: this.#zeroFrames,
      dataSize: this.#dataSize,
      storedSize: this.#storedSize,
    };
  }

  /** Gives up: nothing more is written, and calls that wait, for the sink or for places to be filled, reject with the reason. */
  abandon(reason: unknown): void {
    this.#fail(reason);
    this.#file.abandon(reason);
  }

  async #finishFile(): Promise<Pick<StreamSummary, 'adler32' | 'chunks'>> {
    if (this.#file.hasUnfilled) throw usage('not all places were filled');
    await this.#file.add([encodeFrameHeader('stop', 0, 0)]);
    if (this.#encoder !== undefined) {
      const json = encodeTrailer(this.#storedSizes);
      await this.#file.add([json, PAYLOAD_END, encodeFrameHeader('comp', 0, json.length)]);
    }
    return await this.#file.finish(this.#frames.finish(this.#firstFrame));
  }

  #checkOpen(): void {
    if (this.#queue.failure) throw this.#queue.failure.error;
    if (this.#state === 'new' || this.#state === 'starting')
      throw this.#fail(usage('start has not been called and done'));
    if (this.#state === 'finished') throw this.#fail(usage('finish was called before'));
  }

  #checkRange(kind: string, start: number, length: number): void {
    this.#checkOpen();
    const end = start + length;
    if (!Number.isSafeInteger(start) || !Number.isSafeInteger(length) || !Number.isSafeInteger(end) || length < 1) {
      throw this.#fail(usage(`a ${kind} frame of ${length} bytes at ${start}`));
    }
    if (start < this.#guestEnd || end > this.#meta.virtualSize) {
      const bounds = `${this.#guestEnd} to ${this.#meta.virtualSize}`;
      throw this.#fail(usage(`a ${kind} frame from ${start} to ${end}, where ${bounds} is left of the disk`));
    }
    this.#guestEnd = end;
  }

  #countData(start: number, length: number, stored: number): void {
    this.#storedSize += stored;
    if (this.#encoder === undefined) this.#frames.data(start, length);
    else {
      this.#frames.data(start, length, stored);
      this.#storedSizes.push(stored);
    }
  }

  #fail(error: unknown): unknown {
    return this.#queue.fail(error);
  }
}

function usage(what: string): StreamFormatError {
  return new StreamFormatError('USAGE', `Stream writer: ${what}`);
}
