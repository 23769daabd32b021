import { Adler32 } from './adler32.ts';
import { type ChunkChecksums, ChunkHasher } from './chunk-checksums.ts';
import { StreamFormatError } from './errors.ts';
import { encodeFrameHeader, type FrameKind, PAYLOAD_END } from './frame-header.ts';
import { MAX_META_BYTES, WRITE_LIMIT_BYTES } from './limits.ts';
import { compressLz4 } from './lz4-frame.ts';
import { encodeMeta, type StreamMeta } from './meta.ts';
import type { Sink } from './source.ts';
import { encodeTrailer } from './trailer.ts';

export interface StreamWriterOptions {
  readonly compression?: 'lz4' | undefined;
  /** Bytes of a chunk of the chunk checksums; 256 KiB by default. */
  readonly chunkSize?: number;
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

/** What the established tool's `-z` stands for; LZ4 of this writer has one level. */
const LZ4_LEVEL = 2;
/** Frames that wait are handed to the sink together, up to these; Linux takes 1024 chunks at once. */
const BATCH_BYTES = 1024 * 1024;
const BATCH_CHUNKS = 256;

interface QueuedFrame {
  readonly kind: FrameKind;
  readonly chunks: Promise<readonly Uint8Array[]>;
  readonly done: PromiseWithResolvers<void>;
}

/**
 * Writes a stream file of version 2.
 *
 * `start` comes first, then `data` and `zero` in ascending order and without overlap, then `finish`. The calls may
 * overlap: frames are written in the order of the calls, and payloads are compressed at the same time. The caller bounds
 * the memory by the number of calls that it leaves open. After a call has failed every later one fails; the file is
 * then good for nothing.
 */
export class StreamWriter {
  readonly #sink: Sink;
  readonly #meta: StreamMeta;
  readonly #lz4: boolean;
  readonly #adler32 = new Adler32();
  readonly #hasher: ChunkHasher;
  readonly #queue: QueuedFrame[] = [];
  readonly #storedSizes: number[] = [];
  #state: 'new' | 'open' | 'finished' = 'new';
  #failure: unknown;
  #writing = false;
  #guestEnd = 0;
  #dataSize = 0;
  #dataFrames = 0;
  #zeroFrames = 0;
  #storedSize = 0;
  #fileSize = 0;

  /**
   * @param meta `compressed`, `compressionMethod` and `streamVersion` are written as the options say, whatever is there
   */
  constructor(sink: Sink, meta: StreamMeta, options: StreamWriterOptions = {}) {
    this.#sink = sink;
    this.#lz4 = options.compression === 'lz4';
    this.#hasher = new ChunkHasher(options.chunkSize);
    const level = typeof meta.compressed === 'number' && meta.compressed > 0 ? meta.compressed : LZ4_LEVEL;
    this.#meta = { ...meta, compressed: this.#lz4 ? level : false, compressionMethod: 'lz4', streamVersion: 2 };
  }

  /** Writes the meta frame. */
  async start(): Promise<void> {
    if (this.#state !== 'new') throw this.#fail(usage('start was called before'));
    const json = encodeMeta(this.#meta);
    if (json.length > MAX_META_BYTES) {
      throw this.#fail(new StreamFormatError('LIMIT', `The meta frame has ${json.length} bytes; the limit is 1 MiB`));
    }
    this.#state = 'open';
    await this.#enqueue('meta', [encodeFrameHeader('meta', 0, json.length), json, PAYLOAD_END]);
  }

  /**
   * Writes a data frame.
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
    if (!this.#lz4) return await this.#enqueue('data', [header, payload, PAYLOAD_END]);
    const compressed = compressLz4(payload);
    const chunks = compressed.then((stored) => [header, stored, PAYLOAD_END]);
    try {
      await this.#enqueue('data', chunks);
    } finally {
      await compressed.catch(() => undefined); // the payload is in use till then, also after another frame has failed
    }
  }

  /** Writes a zero frame: the range reads as zeroes. */
  async zero(start: number, length: number): Promise<void> {
    this.#checkRange('zero', start, length);
    this.#zeroFrames++;
    await this.#enqueue('zero', [encodeFrameHeader('zero', start, length)]);
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
    await this.#enqueue('stop', [encodeFrameHeader('stop', 0, 0)]);
    if (this.#lz4) {
      const json = encodeTrailer(this.#storedSizes);
      await this.#enqueue('comp', [json, PAYLOAD_END, encodeFrameHeader('comp', 0, json.length)]);
    }
    return {
      size: this.#fileSize,
      adler32: this.#adler32.value,
      dataFrames: this.#dataFrames,
      zeroFrames: this.#zeroFrames,
      dataSize: this.#dataSize,
      storedSize: this.#storedSize,
      chunks: this.#hasher.finish(),
    };
  }

  #checkOpen(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#state === 'new') throw this.#fail(usage('start was not called'));
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

  #enqueue(kind: FrameKind, chunks: readonly Uint8Array[] | Promise<readonly Uint8Array[]>): Promise<void> {
    const done = Promise.withResolvers<void>();
    const promised = Promise.resolve(chunks);
    promised.catch(() => undefined); // it is awaited when its turn comes
    this.#queue.push({ kind, chunks: promised, done });
    if (!this.#writing) void this.#drain();
    return done.promise;
  }

  /** Writes queued frames until none is left. There is one such loop at a time, so frames keep their order. */
  async #drain(): Promise<void> {
    this.#writing = true;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      const batch = [next];
      try {
        if (this.#failure !== undefined) throw this.#failure;
        await this.#write(await this.#gather(batch));
        for (const frame of batch) frame.done.resolve();
      } catch (error) {
        this.#fail(error);
        for (const frame of batch) frame.done.reject(this.#failure);
      }
    }
    this.#writing = false;
  }

  /** The chunks of the first frame of the batch, and of those after it that are ready by then. */
  async #gather(batch: QueuedFrame[]): Promise<Uint8Array[]> {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    const add = (kind: FrameKind, frame: readonly Uint8Array[]) => {
      chunks.push(...frame);
      for (const chunk of frame) bytes += chunk.length;
      if (kind === 'data') this.#countStored(frame[1]?.length ?? 0);
    };
    for (const frame of batch) add(frame.kind, await frame.chunks);
    while (bytes < BATCH_BYTES && chunks.length < BATCH_CHUNKS) {
      const frame = this.#queue[0];
      const ready = frame && (await Promise.race([frame.chunks, NOT_READY]));
      if (frame === undefined || ready === undefined) break;
      this.#queue.shift();
      batch.push(frame);
      add(frame.kind, ready);
    }
    return chunks;
  }

  #countStored(size: number): void {
    this.#storedSize += size;
    if (this.#lz4) this.#storedSizes.push(size);
  }

  async #write(chunks: readonly Uint8Array[]): Promise<void> {
    const written = this.#sink.write(chunks);
    // The checksums are made while the sink is at work.
    for (const chunk of chunks) {
      this.#adler32.update(chunk);
      this.#hasher.update(chunk);
      this.#fileSize += chunk.length;
    }
    await written;
  }

  /** Keeps the first failure and returns it. */
  #fail(error: unknown): unknown {
    this.#failure ??= error;
    return this.#failure;
  }
}

const NOT_READY = Promise.resolve(undefined);

function usage(what: string): StreamFormatError {
  return new StreamFormatError('USAGE', `Stream writer: ${what}`);
}
