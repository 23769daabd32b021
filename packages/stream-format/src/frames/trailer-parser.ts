import { StreamFormatError } from '../errors.ts';

/** Bytes of a data frame's payload; of a cut data frame those of each of its compressed frames. */
export type TrailerEntry = number | readonly number[];

/** Sizes of pieces in one trailer: 128 TiB of guest bytes at the 32 MiB of the established tool. */
const MAX_PIECES = 2 ** 22;

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

/**
 * Parses `[n, {"n": [n, …]}, …]` byte by byte. A state machine rather than JSON.parse: the length comes from the file, and
 * the entries are handed out as they come, so that memory does not depend on it.
 */
export class TrailerParser {
  readonly #fileSize: number;
  readonly #start: number;
  readonly #smallest: number;
  #entries: TrailerEntry[] = [];
  #taken = 0;
  #state = OPEN;
  #value = -1;
  #total = 0;
  #piecesSum = 0;
  #piecesCount = 0;
  #storedSum = 0;
  #pieces: number[] = [];

  /**
   * @param fileSize what no size can exceed
   * @param start offset of the JSON in the file, for errors
   * @param smallest bytes of a compressed frame
   */
  constructor(fileSize: number, start: number, smallest: number) {
    this.#fileSize = fileSize;
    this.#start = start;
    this.#smallest = smallest;
  }

  /** The next entry that was parsed, if any. */
  shift(): TrailerEntry | undefined {
    if (this.#taken < this.#entries.length) return this.#entries[this.#taken++];
    if (this.#taken > 0) {
      this.#entries = [];
      this.#taken = 0;
    }
    return undefined;
  }

  /** Whether the array has ended; only white space may follow. */
  get done(): boolean {
    return this.#state === DONE;
  }

  /** @throws StreamFormatError BAD_TRAILER, LIMIT */
  push(bytes: Uint8Array): void {
    for (const byte of bytes) {
      if (byte >= 0x30 && byte <= 0x39) this.#digit(byte - 0x30);
      else if (byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d) this.#space();
      else this.#mark(byte);
    }
  }

  /** @throws StreamFormatError BAD_TRAILER when the array has not ended */
  finish(): void {
    if (this.#state !== DONE) throw badTrailer('ends too early', this.#start);
  }

  #digit(digit: number): void {
    const state = this.#state;
    if (state === FIRST_ENTRY || state === ENTRY) this.#state = NUMBER;
    else if (state === PIECE) this.#state = PIECE_NUMBER;
    else if (state !== NUMBER && state !== PIECE_NUMBER && state !== TOTAL) throw this.#unexpected();
    if (this.#value === 0) throw badTrailer('holds a number that begins with 0', this.#start);
    this.#value = Math.max(this.#value, 0) * 10 + digit;
    if (this.#value > this.#fileSize) throw badTrailer('holds a size larger than the file', this.#start);
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
    this.#count(this.#value);
    this.#entries.push(this.#value);
    this.#value = -1;
    this.#state = AFTER_ENTRY;
  }

  #piece(): void {
    this.#count(this.#value);
    if (++this.#piecesCount > MAX_PIECES) {
      const message = `The trailer tells of more than ${MAX_PIECES} pieces of cut frames`;
      throw new StreamFormatError('LIMIT', message, { fileOffset: this.#start });
    }
    this.#pieces.push(this.#value);
    this.#piecesSum += this.#value;
    this.#value = -1;
    this.#state = AFTER_PIECE;
  }

  #cutEntry(): void {
    if (this.#piecesSum !== this.#total) {
      throw badTrailer('has an entry whose total is not the sum of its sizes', this.#start);
    }
    this.#entries.push(this.#pieces);
    this.#pieces = [];
    this.#piecesSum = 0;
  }

  #count(size: number): void {
    if (size < this.#smallest) throw badTrailer('holds a size too small for a compressed frame', this.#start);
    this.#storedSum += size;
    if (this.#storedSum > this.#fileSize) throw badTrailer('holds sizes larger than the file', this.#start);
  }

  #unexpected(): StreamFormatError {
    return badTrailer('cannot be read', this.#start);
  }
}

export function badTrailer(what: string, fileOffset: number): StreamFormatError {
  return new StreamFormatError('BAD_TRAILER', `The trailer of the compressed file ${what}: the file is damaged`, {
    fileOffset,
  });
}
