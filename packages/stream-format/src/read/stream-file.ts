import { CheckedSource } from '../checks/checked-source.ts';
import { StreamFormatError, withFileName } from '../errors.ts';
import type { Codec, CompressionMethod } from '../frames/codec.ts';
import type { CutFrames, FrameIndex } from '../frames/frame-index.ts';
import type { StreamMeta } from '../frames/meta.ts';
import { MAX_PIECE_BYTES } from '../limits.ts';
import type { RandomAccessSource } from '../source.ts';
import { type CutLayout, readCutLayout } from './cut-layout.ts';
import { openStream } from './open.ts';
import { cutOff, type ScannedStream } from './scan.ts';
import { SpareBuffers } from './spare-buffers.ts';

/**
 * Buffers for compressed pieces, of all files together: as many as a restore reads at a time. The established tool's
 * pieces may have 32 MiB, and a little more when they do not compress; two of these are kept.
 */
const storedBuffers = new SpareBuffers(8, 72 << 20);

export interface OpenOptions {
  readonly signal?: AbortSignal;
  /** Name of the file, to begin every message with. */
  readonly name?: string;
}

/** Guest bytes of (a part of) a data frame that are compressed together. */
export interface Piece {
  /** Offset of the piece in its frame, in bytes. */
  readonly start: number;
  readonly bytes: Uint8Array;
}

/** A range of the disk, in bytes. */
export interface GuestRange {
  readonly start: number;
  readonly length: number;
}

/** Where one piece lies, in its frame and in the file. */
interface PiecePlace {
  readonly start: number;
  readonly length: number;
  readonly fileOffset: number;
  readonly stored: number;
}

/** A stream file, whole and closed: its description, the index of its frames, and their guest bytes at any offset. */
export class StreamFile {
  readonly meta: StreamMeta;
  readonly index: FrameIndex;
  /** Whether payloads are compressed; `piece` is then the unit of reading. */
  readonly compressed: boolean;
  /** How they are; undefined when they are plain. */
  readonly method: CompressionMethod | undefined;
  readonly #source: RandomAccessSource;
  readonly #codec: Codec | undefined;
  readonly #cuts: CutFrames;
  readonly #layouts = new Map<number, Promise<CutLayout>>();
  readonly #name: string | undefined;
  /** Whether every byte that the source gives was verified. */
  readonly #verified: boolean;

  /** Use `open`. */
  constructor(source: RandomAccessSource, scanned: ScannedStream, name?: string) {
    this.meta = scanned.meta;
    this.index = scanned.index;
    this.compressed = scanned.codec !== undefined;
    this.method = scanned.codec?.method;
    this.#codec = scanned.codec;
    this.#cuts = scanned.cuts;
    this.#source = source;
    this.#name = name;
    this.#verified = source instanceof CheckedSource;
  }

  /**
   * Reads and checks the headers of all frames, the trailer and the end of the file; where the source's checksums bring
   * a frame table, that and the meta frame alone. Payloads are read later.
   *
   * @throws StreamFormatError whatever is wrong with the file; `signal.reason` on abort; errors of the source
   */
  static async open(source: RandomAccessSource, options: OpenOptions = {}): Promise<StreamFile> {
    try {
      return new StreamFile(source, await openStream(source, options.signal), options.name);
    } catch (error) {
      throw withFileName(error, options.name);
    }
  }

  /**
   * The guest bytes of a data frame, exactly `index.length(frame)` of them; verified by the source's checksums, or else
   * by those of the compressed frame.
   *
   * @throws StreamFormatError BAD_PAYLOAD, UNSUPPORTED; LIMIT for a frame of more than 64 MiB (use `read`)
   */
  async payload(frame: number): Promise<Uint8Array> {
    const length = this.index.length(frame);
    if (length > MAX_PIECE_BYTES) {
      throw this.#error('LIMIT', `Frame ${frame} holds ${length} bytes: too many for one buffer`, frame);
    }
    const bytes = new Uint8Array(length);
    await this.read(frame, 0, bytes);
    return bytes;
  }

  /**
   * Fills `buffer` with guest bytes of a frame from `offsetInFrame`. Of an uncompressed frame only these bytes are read;
   * of a compressed one the pieces that they lie in. A zero frame gives zeroes.
   */
  async read(frame: number, offsetInFrame: number, buffer: Uint8Array): Promise<void> {
    const length = this.index.length(frame);
    if (!Number.isSafeInteger(offsetInFrame) || offsetInFrame < 0 || offsetInFrame + buffer.length > length) {
      const what = `Read of ${buffer.length} bytes at ${offsetInFrame} of frame ${frame}, which holds ${length}`;
      throw this.#error('OUT_OF_RANGE', what, frame);
    }
    if (this.index.kind(frame) === 'zero') {
      buffer.fill(0);
    } else if (this.#codec === undefined) {
      await this.#readSource(this.index.fileOffset(frame) + offsetInFrame, buffer);
    } else {
      for (let done = 0; done < buffer.length; ) done += await this.#readPiece(frame, offsetInFrame, buffer, done);
    }
  }

  /**
   * The piece of a compressed data frame that holds the byte at `offsetInFrame`: what a cache keeps.
   *
   * @param take gives a buffer of a length, for the bytes
   */
  async piece(
    frame: number,
    offsetInFrame: number,
    take: (length: number) => Uint8Array = (length) => new Uint8Array(length),
  ): Promise<Piece> {
    const place = await this.#place(frame, offsetInFrame);
    const bytes = take(place.length);
    await this.#decompress(place, bytes);
    return { start: place.start, bytes };
  }

  /** Where the piece that `piece` would give begins in its frame: a cache's key. Nothing is decompressed. */
  async pieceStart(frame: number, offsetInFrame: number): Promise<number> {
    return (await this.#place(frame, offsetInFrame)).start;
  }

  /** Tells the source that guest bytes of an uncompressed data frame will be read soon. */
  prefetch(frame: number, offsetInFrame: number, length: number): void {
    if (this.#codec !== undefined || this.index.kind(frame) === 'zero') return;
    this.#source.prefetch?.(this.index.fileOffset(frame) + offsetInFrame, length);
  }

  /**
   * The guest ranges whose bytes depend on a range of the file, in order: of an uncompressed frame the part in it, of a
   * compressed one all of it. What damage there spoils.
   */
  guestRanges(fileOffset: number, length: number): GuestRange[] {
    const ranges: GuestRange[] = [];
    const end = fileOffset + length;
    const { index } = this;
    for (let frame = index.findInFile(fileOffset); frame < index.count; frame++) {
      if (index.kind(frame) === 'zero') continue;
      const from = index.fileOffset(frame);
      if (from >= end) break;
      if (this.compressed) ranges.push({ start: index.start(frame), length: index.length(frame) });
      else {
        const first = Math.max(from, fileOffset);
        const last = Math.min(from + index.storedLength(frame), end);
        ranges.push({ start: index.start(frame) + first - from, length: last - first });
      }
    }
    return ranges;
  }

  /** Fills `buffer` from `done` on with what one piece has of it. Returns how much that is. */
  async #readPiece(frame: number, offsetInFrame: number, buffer: Uint8Array, done: number): Promise<number> {
    const place = await this.#place(frame, offsetInFrame + done);
    const from = offsetInFrame + done - place.start;
    const part = buffer.subarray(done, done + place.length - from);
    if (part.length === place.length) {
      await this.#decompress(place, part);
    } else {
      const bytes = new Uint8Array(place.length);
      await this.#decompress(place, bytes);
      part.set(bytes.subarray(from, from + part.length));
    }
    return part.length;
  }

  async #place(frame: number, offsetInFrame: number): Promise<PiecePlace> {
    if (!this.compressed || this.index.kind(frame) === 'zero') {
      throw this.#error('USAGE', `Frame ${frame} is not compressed`, frame);
    }
    const length = this.index.length(frame);
    if (!Number.isSafeInteger(offsetInFrame) || offsetInFrame < 0 || offsetInFrame >= length) {
      throw this.#error('OUT_OF_RANGE', `Byte ${offsetInFrame} of frame ${frame}, which holds ${length}`, frame);
    }
    if (!this.#cuts.has(frame)) {
      return { start: 0, length, fileOffset: this.index.fileOffset(frame), stored: this.index.storedLength(frame) };
    }
    const { guest, file } = await this.#layout(frame);
    const number = guest.findIndex((border) => border > offsetInFrame) - 1;
    const [start = 0, end = 0] = guest.slice(number, number + 2);
    const [fileOffset = 0, fileEnd = 0] = file.slice(number, number + 2);
    return { start, length: end - start, fileOffset, stored: fileEnd - fileOffset };
  }

  async #decompress(place: PiecePlace, target: Uint8Array): Promise<void> {
    const stored = storedBuffers.take(place.stored);
    await this.#readSource(place.fileOffset, stored);
    try {
      await this.#codec?.open(stored, target, place.fileOffset, this.#verified);
    } catch (error) {
      throw withFileName(error, this.#name);
    }
    // Not after a failure: then something may still read from it.
    storedBuffers.give(stored);
  }

  /** The layout of a cut frame, read once. */
  #layout(frame: number): Promise<CutLayout> {
    const known = this.#layouts.get(frame);
    if (known !== undefined) return known;
    const { index } = this;
    const cut = {
      fileOffset: index.fileOffset(frame),
      length: index.length(frame),
      sizes: this.#cuts.get(frame) ?? [],
    };
    const layout = readCutLayout(this.#source, cut).catch((error: unknown) => {
      this.#layouts.delete(frame); // a failed read may be tried again
      throw withFileName(error, this.#name);
    });
    this.#layouts.set(frame, layout);
    return layout;
  }

  async #readSource(offset: number, buffer: Uint8Array): Promise<void> {
    try {
      // An index that did not come from the file's own headers may know more than a file that was cut off has.
      if (offset + buffer.length > this.#source.size) throw cutOff(this.#source.size);
      await this.#source.read(offset, buffer);
    } catch (error) {
      throw withFileName(error, this.#name);
    }
  }

  #error(code: 'LIMIT' | 'OUT_OF_RANGE' | 'USAGE', message: string, frame: number): unknown {
    const offset = this.index.fileOffset(frame);
    const error = new StreamFormatError(code, message, offset < 0 ? {} : { fileOffset: offset });
    return withFileName(error, this.#name);
  }
}
