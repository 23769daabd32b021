import { StreamFormatError, withFileName } from './errors.ts';
import type { CutFrames, FrameIndex } from './frame-index.ts';
import { MAX_PIECE_BYTES } from './limits.ts';
import { decompressLz4, LZ4_CONTENT_SIZE_END, lz4ContentSize } from './lz4-frame.ts';
import type { StreamMeta } from './meta.ts';
import { type ScannedStream, scanStream } from './scan.ts';
import type { RandomAccessSource } from './source.ts';

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

/** Where the pieces of a cut frame lie: n + 1 borders in the frame and in the file. */
interface CutLayout {
  readonly guest: readonly number[];
  readonly file: readonly number[];
}

/** A stream file, whole and closed: its description, the index of its frames, and their guest bytes at any offset. */
export class StreamFile {
  readonly meta: StreamMeta;
  readonly index: FrameIndex;
  /** Whether data frames hold LZ4 frames; `piece` is then the unit of reading. */
  readonly compressed: boolean;
  readonly #source: RandomAccessSource;
  readonly #cuts: CutFrames;
  readonly #layouts = new Map<number, Promise<CutLayout>>();
  readonly #name: string | undefined;

  private constructor(source: RandomAccessSource, scanned: ScannedStream, name: string | undefined) {
    this.meta = scanned.meta;
    this.index = scanned.index;
    this.compressed = scanned.compressed;
    this.#cuts = scanned.cuts;
    this.#source = source;
    this.#name = name;
  }

  /**
   * Reads and checks the headers of all frames, the trailer and the end of the file. Payloads are read later.
   *
   * @throws StreamFormatError whatever is wrong with the file; `signal.reason` on abort; errors of the source
   */
  static async open(source: RandomAccessSource, options: OpenOptions = {}): Promise<StreamFile> {
    try {
      return new StreamFile(source, await scanStream(source, options.signal), options.name);
    } catch (error) {
      throw withFileName(error, options.name);
    }
  }

  /**
   * The guest bytes of a data frame, exactly `index.length(frame)` of them; LZ4 checksums are verified.
   *
   * @throws StreamFormatError BAD_PAYLOAD, UNSUPPORTED; LIMIT for a frame of more than 64 MiB (use `read`)
   */
  async payload(frame: number): Promise<Uint8Array> {
    const length = this.index.length(frame);
    if (length > MAX_PIECE_BYTES) {
      throw this.#error('LIMIT', `Frame ${frame} holds ${length} bytes: too many for one buffer`, frame);
    }
    if (this.compressed && !this.#cuts.has(frame)) return (await this.piece(frame, 0)).bytes;
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
    } else if (!this.compressed) {
      await this.#readSource(this.index.fileOffset(frame) + offsetInFrame, buffer);
    } else {
      for (let done = 0; done < buffer.length; ) {
        const { start, bytes } = await this.piece(frame, offsetInFrame + done);
        const part = bytes.subarray(offsetInFrame + done - start).subarray(0, buffer.length - done);
        buffer.set(part, done);
        done += part.length;
      }
    }
  }

  /** The piece of a compressed data frame that holds the byte at `offsetInFrame`: what a cache keeps. */
  async piece(frame: number, offsetInFrame: number): Promise<Piece> {
    this.#checkPiece(frame, offsetInFrame);
    if (!this.#cuts.has(frame)) {
      const length = this.index.length(frame);
      const bytes = await this.#decompress(this.index.fileOffset(frame), this.index.storedLength(frame), length);
      return { start: 0, bytes };
    }
    const { guest, file } = await this.#layout(frame);
    const number = guest.findIndex((border) => border > offsetInFrame) - 1;
    const [start = 0, end = 0] = guest.slice(number, number + 2);
    const [fileStart = 0, fileEnd = 0] = file.slice(number, number + 2);
    return { start, bytes: await this.#decompress(fileStart, fileEnd - fileStart, end - start) };
  }

  /** Where the piece that `piece` would give begins in its frame: a cache's key. Nothing is decompressed. */
  async pieceStart(frame: number, offsetInFrame: number): Promise<number> {
    this.#checkPiece(frame, offsetInFrame);
    if (!this.#cuts.has(frame)) return 0;
    const { guest } = await this.#layout(frame);
    return guest[guest.findIndex((border) => border > offsetInFrame) - 1] ?? 0;
  }

  #checkPiece(frame: number, offsetInFrame: number): void {
    if (!this.compressed || this.index.kind(frame) === 'zero') {
      throw this.#error('USAGE', `Frame ${frame} is not compressed`, frame);
    }
    const length = this.index.length(frame);
    if (!Number.isSafeInteger(offsetInFrame) || offsetInFrame < 0 || offsetInFrame >= length) {
      throw this.#error('OUT_OF_RANGE', `Byte ${offsetInFrame} of frame ${frame}, which holds ${length}`, frame);
    }
  }

  async #decompress(fileOffset: number, stored: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(stored);
    await this.#readSource(fileOffset, bytes);
    try {
      return await decompressLz4(bytes, length, fileOffset);
    } catch (error) {
      throw withFileName(error, this.#name);
    }
  }

  /** The layout of a cut frame, read once from the headers of its LZ4 frames. */
  #layout(frame: number): Promise<CutLayout> {
    const known = this.#layouts.get(frame);
    if (known !== undefined) return known;
    const layout = this.#readLayout(frame);
    this.#layouts.set(frame, layout);
    layout.catch(() => this.#layouts.delete(frame)); // a failed read may be tried again
    return layout;
  }

  async #readLayout(frame: number): Promise<CutLayout> {
    const file = [this.index.fileOffset(frame)];
    const guest = [0];
    let fileOffset = this.index.fileOffset(frame);
    let guestOffset = 0;
    const header = new Uint8Array(LZ4_CONTENT_SIZE_END);
    for (const stored of this.#cuts.get(frame) ?? []) {
      const size = await this.#contentSize(header, fileOffset, stored);
      if (size === 0 || size > MAX_PIECE_BYTES || guestOffset + size > this.index.length(frame)) {
        throw this.#error('BAD_PAYLOAD', `The LZ4 frame at byte ${fileOffset} declares ${size} bytes`, frame);
      }
      fileOffset += stored;
      guestOffset += size;
      file.push(fileOffset);
      guest.push(guestOffset);
    }
    if (guestOffset !== this.index.length(frame)) {
      const what = `The LZ4 frames of frame ${frame} hold ${guestOffset} bytes instead of ${this.index.length(frame)}`;
      throw this.#error('BAD_PAYLOAD', what, frame);
    }
    return { guest, file };
  }

  async #contentSize(header: Uint8Array, fileOffset: number, stored: number): Promise<number> {
    if (stored < header.length) {
      throw new StreamFormatError('BAD_PAYLOAD', `The LZ4 frame at byte ${fileOffset} is too short`, { fileOffset });
    }
    await this.#readSource(fileOffset, header);
    let size: number | undefined;
    try {
      size = lz4ContentSize(header, fileOffset);
    } catch (error) {
      throw withFileName(error, this.#name);
    }
    if (size === undefined) {
      const message = `The LZ4 frame at byte ${fileOffset} is part of a cut frame and does not tell its size`;
      throw withFileName(new StreamFormatError('UNSUPPORTED', message, { fileOffset }), this.#name);
    }
    return size;
  }

  async #readSource(offset: number, buffer: Uint8Array): Promise<void> {
    try {
      await this.#source.read(offset, buffer);
    } catch (error) {
      throw withFileName(error, this.#name);
    }
  }

  #error(code: 'LIMIT' | 'OUT_OF_RANGE' | 'BAD_PAYLOAD' | 'USAGE', message: string, frame: number): unknown {
    const offset = this.index.fileOffset(frame);
    const error = new StreamFormatError(code, message, offset < 0 ? {} : { fileOffset: offset });
    return withFileName(error, this.#name);
  }
}
