import { StreamFormatError } from '../errors.ts';
import type { RandomAccessSource } from '../source.ts';
import { decodeFrameHeader, FRAME_HEADER_BYTES, PAYLOAD_END } from './frame-header.ts';
import { badTrailer, type TrailerEntry, TrailerParser } from './trailer-parser.ts';

/*
 * The trailer of a compressed file (SPEC.md, "Trailer"), after the stop frame:
 *
 *   n   JSON array, an entry a data frame in order: the size of its payload in the file, or
 *       {"<total>": [size, …]} when the data frame is cut into several compressed frames
 *   2   CR LF
 *   40  header `comp`, start 0, length n
 */

const WINDOW = 256 * 1024;

/** The JSON of a trailer of plain entries, in the established tool's layout. */
export function encodeTrailer(sizes: readonly number[]): Uint8Array {
  return Buffer.from(`[${sizes.join(', ')}]`, 'latin1');
}

/** Bytes that a trailer of plain entries takes, with its header, as `encodeTrailer` writes it. */
export function trailerBytes(entries: number, digits: number): number {
  return 2 + digits + 2 * Math.max(0, entries - 1) + PAYLOAD_END.length + FRAME_HEADER_BYTES;
}

/**
 * A trailer that is read from the file as its entries are asked for: what is held is one window of it, whatever length
 * the file declares.
 */
export class TrailerReader {
  /** Offset of the first byte of the JSON: where the stop frame must end. */
  readonly start: number;
  readonly #source: RandomAccessSource;
  readonly #parser: TrailerParser;
  readonly #jsonEnd: number;
  readonly #end: number;
  readonly #window: Uint8Array;
  #position: number;

  private constructor(source: RandomAccessSource, start: number, length: number, smallest: number) {
    this.#source = source;
    this.start = start;
    this.#position = start;
    this.#jsonEnd = start + length;
    this.#end = this.#jsonEnd + PAYLOAD_END.length;
    this.#parser = new TrailerParser(source.size, start, smallest);
    this.#window = new Uint8Array(Math.min(WINDOW, this.#end - start));
  }

  /**
   * Finds the trailer from the end of the file.
   *
   * @param smallest bytes of a compressed frame
   * @returns undefined when the file ends with a stop frame: it has no trailer
   * @throws StreamFormatError TRUNCATED when the file has neither; BAD_TRAILER
   */
  static async open(source: RandomAccessSource, smallest: number): Promise<TrailerReader | undefined> {
    const headerOffset = source.size - FRAME_HEADER_BYTES;
    if (headerOffset < 0) throw truncated(source.size);
    const end = new Uint8Array(FRAME_HEADER_BYTES);
    await source.read(headerOffset, end);
    const letters = Buffer.from(end.subarray(0, 5)).toString('latin1');
    if (letters === 'stop ') return undefined;
    if (letters !== 'comp ') throw truncated(source.size);
    const header = decodeFrameHeader(end, 0, headerOffset);
    const start = headerOffset - PAYLOAD_END.length - header.length;
    if (header.start !== 0 || start < 0) throw badTrailer('has a length that does not fit the file', headerOffset);
    return new TrailerReader(source, start, header.length, smallest);
  }

  /** The next entry of those read so far. */
  shift(): TrailerEntry | undefined {
    return this.#parser.shift();
  }

  /** Reads the next window, after all entries were taken. False when all of the trailer has been read, and is sound. */
  async more(): Promise<boolean> {
    if (this.#position >= this.#end) return false;
    const part = this.#window.subarray(0, Math.min(this.#window.length, this.#end - this.#position));
    await this.#source.read(this.#position, part);
    const jsonBytes = Math.min(part.length, Math.max(0, this.#jsonEnd - this.#position));
    this.#parser.push(part.subarray(0, jsonBytes));
    for (let i = jsonBytes; i < part.length; i++) {
      const inEnd = this.#position + i - this.#jsonEnd;
      if (part[i] !== PAYLOAD_END[inEnd]) throw badTrailer('does not end with CR LF', this.start);
    }
    this.#position += part.length;
    if (this.#position >= this.#end) this.#parser.finish();
    return true;
  }
}

function truncated(size: number): StreamFormatError {
  return new StreamFormatError(
    'TRUNCATED',
    'The file does not end with an end mark: it was cut off, was never finished, or something was added to it',
    { fileOffset: size },
  );
}
