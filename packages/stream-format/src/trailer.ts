import { StreamFormatError } from './errors.ts';
import { decodeFrameHeader, FRAME_HEADER_BYTES, PAYLOAD_END } from './frame-header.ts';
import { type CutFrames, NumberColumn } from './frame-index.ts';
import { MAX_FRAMES } from './limits.ts';
import type { RandomAccessSource } from './source.ts';

/*
 * The trailer of a compressed file (SPEC.md, "Trailer"), after the stop frame:
 *
 *   n   JSON array, an entry a data frame in order: the size of its LZ4 frame in the file, or
 *       {"<total>": [size, …]} when the data frame is cut into several LZ4 frames
 *   2   CR LF
 *   40  header `comp`, start 0, length n
 *
 * It is read in windows by a small state machine rather than JSON.parse: its length comes from the file, and a million
 * entries must not become a million objects before their number is checked.
 */

export interface Trailer {
  /** Bytes in the file of each data frame's payload. */
  readonly sizes: Float64Array;
  readonly cuts: CutFrames;
  /** Offset of the first byte of the JSON: where the stop frame must end. */
  readonly start: number;
}

const WINDOW = 256 * 1024;
/** An LZ4 frame without a block: magic, flags, descriptor, header checksum, end mark. */
const SMALLEST_LZ4_FRAME = 11;

/** The JSON of a trailer of plain entries, in the established tool's layout. */
export function encodeTrailer(sizes: readonly number[]): Uint8Array {
  return Buffer.from(`[${sizes.join(', ')}]`, 'latin1');
}

/**
 * Reads the trailer from the end of the file.
 *
 * @returns undefined when the file ends with a stop frame: it has no trailer
 * @throws StreamFormatError TRUNCATED when the file has neither; BAD_TRAILER
 */
export async function readTrailer(
  source: RandomAccessSource,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<Trailer | undefined> {
  const headerOffset = source.size - FRAME_HEADER_BYTES;
  if (headerOffset < 0) throw truncated(source.size);
  const end = new Uint8Array(FRAME_HEADER_BYTES);
  await source.read(headerOffset, end);
  const letters = Buffer.from(end.subarray(0, 5)).toString('latin1');
  if (letters === 'stop ') return undefined;
  if (letters !== 'comp ') throw truncated(source.size);
  const header = decodeFrameHeader(end, 0, headerOffset);
  const start = headerOffset - PAYLOAD_END.length - header.length;
  if (header.start !== 0 || start < 0) throw bad('has a length that does not fit the file', headerOffset);
  const parser = new TrailerParser(source.size, start);
  const window = new Uint8Array(Math.min(WINDOW, header.length + PAYLOAD_END.length));
  for (let position = start; position < headerOffset; position += window.length) {
    options.signal?.throwIfAborted();
    const part = window.subarray(0, Math.min(window.length, headerOffset - position));
    await source.read(position, part);
    const jsonBytes = Math.min(part.length, start + header.length - position);
    if (jsonBytes > 0) parser.push(part.subarray(0, jsonBytes));
    for (let i = Math.max(jsonBytes, 0); i < part.length; i++) {
      if (part[i] !== PAYLOAD_END[position + i - start - header.length]) throw bad('does not end with CR LF', start);
    }
  }
  return parser.finish();
}

const OPEN = 0;
const FIRST_ENTRY = 1;
const ENTRY = 2;
const NUMBER = 3;
const AFTER_ENTRY = 4;
const TOTAL_QUOTE = 5;
const TOTAL = 6;
const COLON = 7;
const PIECES_OPEN = 8;
const PIECE = 9;
const PIECE_NUMBER = 10;
const AFTER_PIECE = 11;
const ENTRY_CLOSE = 12;
const DONE = 13;

/** Parses `[n, {"n": [n, …]}, …]`, byte by byte. */
class TrailerParser {
  readonly #fileSize: number;
  readonly #start: number;
  readonly #sizes = new NumberColumn();
  readonly #cuts = new Map<number, number[]>();
  #state = OPEN;
  #value = -1;
  #total = 0;
  #piecesSum = 0;
  #storedSum = 0;
  #pieces: number[] = [];

  constructor(fileSize: number, start: number) {
    this.#fileSize = fileSize;
    this.#start = start;
  }

  push(bytes: Uint8Array): void {
    for (const byte of bytes) {
      if (byte >= 0x30 && byte <= 0x39) this.#digit(byte - 0x30);
      else if (byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d) this.#space();
      else this.#mark(byte);
    }
  }

  finish(): Trailer {
    if (this.#state !== DONE) throw bad('ends too early', this.#start);
    return { sizes: this.#sizes.toArray(), cuts: this.#cuts, start: this.#start };
  }

  #digit(digit: number): void {
    const state = this.#state;
    if (state === FIRST_ENTRY || state === ENTRY) this.#state = NUMBER;
    else if (state === PIECE) this.#state = PIECE_NUMBER;
    else if (state !== NUMBER && state !== PIECE_NUMBER && state !== TOTAL) throw this.#unexpected();
    if (this.#value === 0) throw bad('holds a number that begins with 0', this.#start);
    this.#value = Math.max(this.#value, 0) * 10 + digit;
    if (this.#value > this.#fileSize) throw bad('holds a size larger than the file', this.#start);
  }

  #space(): void {
    if (this.#state === NUMBER) this.#entry();
    else if (this.#state === PIECE_NUMBER) this.#piece();
    else if (this.#state === TOTAL) throw this.#unexpected();
  }

  #mark(byte: number): void {
    if (this.#state === NUMBER) this.#entry();
    else if (this.#state === PIECE_NUMBER) this.#piece();
    this.#state = this.#next(String.fromCharCode(byte));
  }

  #next(mark: string): number {
    const state = this.#state;
    if (mark === '[' && state === OPEN) return FIRST_ENTRY;
    if (mark === ']' && (state === FIRST_ENTRY || state === AFTER_ENTRY)) return DONE;
    if (mark === ',' && state === AFTER_ENTRY) return ENTRY;
    if (mark === '{' && (state === FIRST_ENTRY || state === ENTRY)) return TOTAL_QUOTE;
    if (mark === '"' && state === TOTAL_QUOTE) return TOTAL;
    if (mark === '"' && state === TOTAL && this.#value >= 0) {
      this.#total = this.#value;
      this.#value = -1;
      return COLON;
    }
    if (mark === ':' && state === COLON) return PIECES_OPEN;
    if (mark === '[' && state === PIECES_OPEN) return PIECE;
    if (mark === ',' && state === AFTER_PIECE) return PIECE;
    if (mark === ']' && state === AFTER_PIECE) return ENTRY_CLOSE;
    if (mark === '}' && state === ENTRY_CLOSE) {
      this.#cutEntry();
      return AFTER_ENTRY;
    }
    throw this.#unexpected();
  }

  #entry(): void {
    this.#add(this.#value);
    this.#value = -1;
    this.#state = AFTER_ENTRY;
  }

  #piece(): void {
    if (this.#value < SMALLEST_LZ4_FRAME) throw bad('holds a size too small for an LZ4 frame', this.#start);
    this.#pieces.push(this.#value);
    this.#piecesSum += this.#value;
    if (this.#piecesSum > this.#fileSize) throw bad('holds sizes larger than the file', this.#start);
    this.#value = -1;
    this.#state = AFTER_PIECE;
  }

  #cutEntry(): void {
    if (this.#piecesSum !== this.#total) throw bad('has an entry whose total is not the sum of its sizes', this.#start);
    this.#cuts.set(this.#sizes.length, this.#pieces);
    this.#add(this.#total);
    this.#pieces = [];
    this.#piecesSum = 0;
  }

  #add(size: number): void {
    if (size < SMALLEST_LZ4_FRAME) throw bad('holds a size too small for an LZ4 frame', this.#start);
    if (this.#sizes.length >= MAX_FRAMES) {
      throw new StreamFormatError('LIMIT', `The trailer has more than ${MAX_FRAMES} entries`, {
        fileOffset: this.#start,
      });
    }
    this.#storedSum += size;
    if (this.#storedSum > this.#fileSize) throw bad('holds sizes larger than the file', this.#start);
    this.#sizes.push(size);
  }

  #unexpected(): StreamFormatError {
    return bad('cannot be read', this.#start);
  }
}

function bad(what: string, fileOffset: number): StreamFormatError {
  return new StreamFormatError('BAD_TRAILER', `The trailer of the compressed file ${what}: the file is damaged`, {
    fileOffset,
  });
}

function truncated(size: number): StreamFormatError {
  return new StreamFormatError(
    'TRUNCATED',
    'The file does not end with an end mark: it was cut off, was never finished, or something was added to it',
    { fileOffset: size },
  );
}
