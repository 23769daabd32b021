import { StreamFormatError, withFileName } from '../errors.ts';
import { type Codec, codecOf } from '../frames/codec.ts';
import { decodeFrameHeader, FRAME_HEADER_BYTES, PAYLOAD_END } from '../frames/frame-header.ts';
import { NumberColumn } from '../frames/frame-index.ts';
import { FrameOrder } from '../frames/frame-order.ts';
import { decodeMeta, type StreamMeta } from '../frames/meta.ts';
import { badTrailer, type TrailerEntry, TrailerParser } from '../frames/trailer-parser.ts';
import { MAX_PIECE_BYTES } from '../limits.ts';
import { ByteQueue } from './byte-queue.ts';
import { bytesAfterEnd, checkPayloadEnd, checkStored, decodeMetaHeader, misplaced } from './scan.ts';

export interface ReadStreamOptions {
  readonly signal?: AbortSignal;
  /** Name of the file, to begin every message with. */
  readonly name?: string;
}

/** What a stream file holds, part by part, in its order. */
export type StreamPart =
  /** First of all. */
  | { readonly kind: 'meta'; readonly meta: StreamMeta }
  /** A zero frame: bytes `start` to `start + length` of the disk are zero. */
  | { readonly kind: 'zero'; readonly start: number; readonly length: number }
  /** Guest bytes from `start` on: a piece of a data frame, at most 64 MiB. Good until the next part is asked for. */
  | { readonly kind: 'data'; readonly start: number; readonly bytes: Uint8Array }
  /** Last of all. Until it has come, nothing says that the file is whole. */
  | {
      readonly kind: 'end';
      /** Bytes of the file. */
      readonly size: number;
      /** Adler-32 of the file, to compare with what the established tool keeps in `*.chksum`. */
      readonly adler32: number;
      readonly dataFrames: number;
      readonly zeroFrames: number;
    };

/**
 * Reads a stream file that comes as a stream: from a pipe, a download. What is held is a piece at a time, whatever the
 * file's size; of a compressed file 8 bytes a data frame besides. The input is closed when the caller ends early.
 *
 * Damage in an uncompressed payload cannot be seen here: compare `adler32` at the end.
 *
 * @throws StreamFormatError whatever is wrong, where it is reached; `signal.reason`; errors of the input
 */
export async function* readStream(
  input: AsyncIterable<Uint8Array>,
  options: ReadStreamOptions = {},
): AsyncGenerator<StreamPart, void, undefined> {
  const iterator = input[Symbol.asyncIterator]();
  let finished = false;
  try {
    yield* new StreamReader(new ByteQueue(iterator, options.signal)).parts();
    finished = true;
  } catch (error) {
    throw withFileName(error, options.name);
  } finally {
    if (!finished) await iterator.return?.();
  }
}

/** Pieces of a cut frame that the trailer must tell, by the number of their data frame. */
type Cuts = Map<number, number[]>;

const LETTER_C = 0x63;

class StreamReader {
  readonly #queue: ByteQueue;
  readonly #stored = new NumberColumn();
  readonly #cuts: Cuts = new Map();

  constructor(queue: ByteQueue) {
    this.#queue = queue;
  }

  async *parts(): AsyncGenerator<StreamPart, void, undefined> {
    const queue = this.#queue;
    const length = decodeMetaHeader(await queue.take(FRAME_HEADER_BYTES), 0);
    const meta = decodeMeta(await queue.take(length));
    await this.#payloadEnd();
    yield { kind: 'meta', meta };
    const order = new FrameOrder(meta);
    let codec: Codec | undefined | null = null;
    for (;;) {
      const at = queue.offset;
      const header = decodeFrameHeader(await queue.take(FRAME_HEADER_BYTES), 0, at);
      if (header.kind === 'zero') {
        order.add('zero', header.start, header.length, at);
        yield { kind: 'zero', start: header.start, length: header.length };
      } else if (header.kind === 'data') {
        order.add('data', header.start, header.length, at);
        codec = codec === null ? await this.#codecOf(meta, header.length) : codec;
        yield* codec === undefined
          ? this.#plain(header.start, header.length)
          : this.#compressed(codec, header.start, header.length);
        await this.#payloadEnd();
      } else if (header.kind === 'stop' && header.start === 0 && header.length === 0) break;
      else throw misplaced(header.kind, at);
    }
    codec = codec === null ? codecOf(meta) : codec;
    // Without data frames a compressed file may lack the trailer.
    if (codec !== undefined && !(order.dataFrames === 0 && (await queue.atEnd()))) await this.#trailer(codec);
    if (!(await queue.atEnd())) throw bytesAfterEnd(queue.offset);
    order.finish();
    const { dataFrames, zeroFrames } = order;
    yield { kind: 'end', size: queue.offset, adler32: queue.adler32, dataFrames, zeroFrames };
  }

  /** A level of 0 stands for either; the first payload tells, as the trailer is out of reach. */
  async #codecOf(meta: StreamMeta, length: number): Promise<Codec | undefined> {
    const codec = codecOf(meta);
    if (codec === undefined || meta.compressed !== 0) return codec;
    try {
      await this.#queue.walk(codec.walk(this.#queue.offset, Math.min(MAX_PIECE_BYTES, length)));
      return codec;
    } catch (error) {
      if (!(error instanceof StreamFormatError)) throw error;
      return undefined;
    }
  }

  async *#plain(start: number, length: number): AsyncGenerator<StreamPart, void, undefined> {
    for (let done = 0; done < length; ) {
      const bytes = await this.#queue.takeSome(Math.min(MAX_PIECE_BYTES, length - done));
      yield { kind: 'data', start: start + done, bytes };
      done += bytes.length;
    }
  }

  /** One compressed frame after the other until the guest length is reached: each tells where it ends. */
  async *#compressed(codec: Codec, start: number, length: number): AsyncGenerator<StreamPart, void, undefined> {
    const pieces: number[] = [];
    for (let done = 0; done < length; ) {
      const at = this.#queue.offset;
      if (pieces.length > 0 && !codec.cuts) throw cutNotAllowed(codec, at);
      const extent = await this.#queue.walk(codec.walk(at, Math.min(MAX_PIECE_BYTES, length - done)));
      checkStored(codec, extent.end - at, extent.length, at);
      if (extent.length === 0) throw emptyPiece(at);
      const stored = await this.#queue.take(extent.end - at);
      const bytes = new Uint8Array(extent.length);
      await codec.open(stored, bytes, at, false);
      pieces.push(stored.length);
      yield { kind: 'data', start: start + done, bytes };
      done += bytes.length;
    }
    if (pieces.length > 1) this.#cuts.set(this.#stored.length, pieces);
    this.#stored.push(pieces.reduce((sum, size) => sum + size, 0));
  }

  async #payloadEnd(): Promise<void> {
    const at = this.#queue.offset;
    checkPayloadEnd(await this.#queue.take(PAYLOAD_END.length), 0, at);
  }

  /** Reads the trailer, whose length is told only behind it, and compares it with what was found. */
  async #trailer(codec: Codec): Promise<void> {
    const queue = this.#queue;
    const start = queue.offset;
    const parser = new TrailerParser(start, start, codec.smallest);
    let compared = 0;
    let last = new Uint8Array(0);
    // The JSON holds no letter, so the `c` of `comp` ends it and the CR LF behind it.
    for (;;) {
      const bytes = await queue.takeUntil(LETTER_C);
      if (bytes.length === 0) break;
      parser.push(bytes);
      for (let entry = parser.shift(); entry !== undefined; entry = parser.shift())
        this.#compare(entry, compared++, start);
      last = Buffer.concat([last, bytes.subarray(-2)]).subarray(-2);
    }
    parser.finish();
    if (compared !== this.#stored.length) throw badTrailer('has fewer entries than there are data frames', start);
    if (!PAYLOAD_END.every((byte, i) => byte === last[i])) throw badTrailer('does not end with CR LF', start);
    const at = queue.offset;
    const header = decodeFrameHeader(await queue.take(FRAME_HEADER_BYTES), 0, at);
    if (header.kind !== 'comp' || header.start !== 0 || header.length !== at - start - PAYLOAD_END.length) {
      throw badTrailer('has a length that does not fit the file', at);
    }
  }
  #compare(entry: TrailerEntry, number: number, start: number): void {
    const expected = this.#cuts.get(number) ?? this.#stored.at(number);
    if (expected === undefined) throw badTrailer('has more entries than there are data frames', start);
    const found = typeof entry === 'number' || entry.length > 1 ? entry : entry[0];
    const same =
      typeof found === 'object' && typeof expected === 'object'
        ? found.length === expected.length && found.every((size, i) => size === expected[i])
        : found === expected;
    if (!same) throw badTrailer(`has a wrong size for data frame ${number}`, start);
  }
}

function cutNotAllowed(codec: Codec, fileOffset: number): StreamFormatError {
  const message = `The data frame before byte ${fileOffset} is cut, which ${codec.method} does not allow`;
  return new StreamFormatError('BAD_PAYLOAD', message, { fileOffset });
}

function emptyPiece(fileOffset: number): StreamFormatError {
  return new StreamFormatError('BAD_PAYLOAD', `The compressed frame at byte ${fileOffset} is empty`, { fileOffset });
}
