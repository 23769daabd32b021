import { StreamFormatError } from '../errors.ts';
import type { Codec } from '../frames/codec.ts';
import { decodeFrameHeader, FRAME_HEADER_BYTES, type FrameHeader, PAYLOAD_END } from '../frames/frame-header.ts';
import { walkSource } from '../frames/walk.ts';
import { MAX_PIECE_BYTES } from '../limits.ts';
import type { RandomAccessSource } from '../source.ts';

/** A frame that stands at a place of a file, followed by what must follow it. */
export interface FoundFrame {
  readonly kind: 'data' | 'zero' | 'stop';
  readonly start: number;
  readonly length: number;
  readonly headerOffset: number;
  /** Offset of its payload. */
  readonly payload: number;
  /** Bytes of its payload in the file. */
  readonly stored: number;
  /** Sizes of its compressed frames, when there are several. */
  readonly pieces?: readonly number[];
  /** Offset of what comes next. */
  readonly end: number;
}

/** A header that can be, in front of a payload that is not whole. */
export interface BrokenFrame {
  readonly kind: 'broken';
  readonly start: number;
  readonly length: number;
}

/** Where a frame may lie on the disk. */
export interface Bounds {
  /** End of the frame before. */
  readonly from: number;
  readonly to: number;
}

/** Looks for frames in a damaged file: each look tells whether a whole frame stands at a place. */
export class FrameProbe {
  readonly #source: RandomAccessSource;
  readonly #codec: Codec | undefined;
  readonly #header = Buffer.alloc(FRAME_HEADER_BYTES);
  readonly #scratch = new Uint8Array(64);

  constructor(source: RandomAccessSource, codec: Codec | undefined) {
    this.#source = source;
    this.#codec = codec;
  }

  /** The frame at an offset, inside the bounds; its payload is walked over, not verified. Undefined when there is none. */
  async at(offset: number, bounds: Bounds): Promise<FoundFrame | BrokenFrame | undefined> {
    const header = await this.#headerAt(offset);
    if (header === undefined) return undefined;
    const { kind, start, length } = header;
    const payload = offset + FRAME_HEADER_BYTES;
    if (kind === 'stop') {
      const whole = start === 0 && length === 0;
      return whole ? { kind, start, length, headerOffset: offset, payload, stored: 0, end: payload } : undefined;
    }
    if ((kind !== 'data' && kind !== 'zero') || length === 0) return undefined;
    if (start < bounds.from || start + length > bounds.to) return undefined;
    const common = { kind, start, length, headerOffset: offset, payload };
    if (kind === 'zero') return { ...common, stored: 0, end: payload };
    const pieces = await this.payloadAt(payload, length);
    if (pieces === undefined) return { kind: 'broken', start, length };
    const stored = pieces.reduce((sum, size) => sum + size, 0);
    const end = payload + stored + PAYLOAD_END.length;
    // A compressed payload tells its own end, and is whole also where the file was cut off behind it.
    const ends = this.#codec !== undefined || (await this.#payloadEndsAt(payload + stored));
    if (!ends) return { kind: 'broken', start, length };
    return { ...common, stored, end, ...(pieces.length > 1 && { pieces }) };
  }

  /** The sizes of the compressed frames that hold `length` guest bytes at an offset; of a plain payload its length. */
  async payloadAt(offset: number, length: number): Promise<number[] | undefined> {
    const codec = this.#codec;
    if (codec === undefined) return offset + length <= this.#source.size ? [length] : undefined;
    const pieces: number[] = [];
    let position = offset;
    try {
      for (let done = 0; done < length; ) {
        if (pieces.length > 0 && !codec.cuts) return undefined;
        const remaining = Math.min(MAX_PIECE_BYTES, length - done);
        const extent = await walkSource(codec.walk(position, remaining), this.#source, this.#scratch);
        if (extent.length === 0 || extent.end > this.#source.size) return undefined;
        pieces.push(extent.end - position);
        position = extent.end;
        done += extent.length;
      }
    } catch (error) {
      if (error instanceof StreamFormatError) return undefined;
      throw error;
    }
    return pieces;
  }

  /** How many of the 40 bytes at an offset are those of this header. */
  async likeness(offset: number, header: Uint8Array): Promise<number> {
    if (offset + FRAME_HEADER_BYTES > this.#source.size) return 0;
    await this.#source.read(offset, this.#header);
    return header.reduce((same, byte, i) => same + (byte === this.#header[i] ? 1 : 0), 0);
  }

  /** Whether the digits of the length at an offset are those of this header. */
  async hasLength(offset: number, header: Uint8Array): Promise<boolean> {
    await this.#source.read(offset, this.#header);
    return this.#header
      .subarray(LENGTH_DIGITS, LENGTH_DIGITS + 16)
      .equals(header.subarray(LENGTH_DIGITS, LENGTH_DIGITS + 16));
  }

  /** Whether the file ends at an offset, or behind it in what may be the begin of a header. */
  async endsAt(offset: number): Promise<boolean> {
    const left = this.#source.size - offset;
    if (left <= 0 || left >= FRAME_HEADER_BYTES) return left === 0;
    const bytes = this.#header.subarray(0, left);
    await this.#source.read(offset, bytes);
    const seen = bytes.toString('latin1');
    return ['data', 'zero', 'stop'].some((kind) => `${kind} `.startsWith(seen.slice(0, 5)));
  }

  async #headerAt(offset: number): Promise<FrameHeader | undefined> {
    if (offset + FRAME_HEADER_BYTES > this.#source.size) return undefined;
    await this.#source.read(offset, this.#header);
    try {
      return decodeFrameHeader(this.#header, 0, offset);
    } catch (error) {
      if (error instanceof StreamFormatError) return undefined;
      throw error;
    }
  }

  async #payloadEndsAt(offset: number): Promise<boolean> {
    if (offset + PAYLOAD_END.length > this.#source.size) return false;
    const bytes = this.#scratch.subarray(0, PAYLOAD_END.length);
    await this.#source.read(offset, bytes);
    return PAYLOAD_END.every((byte, i) => byte === bytes[i]);
  }
}

/** Where the digits of the length stand in a header. */
const LENGTH_DIGITS = 22;
const SEARCH_WINDOW = 256 * 1024;
const HEADER = /(?:data|zero|stop) [0-9a-f]{16} [0-9a-f]{16}\r\n/g;

/** The offsets from `from` on where bytes of the shape of a frame header stand. */
export async function* headerShapes(
  source: RandomAccessSource,
  from: number,
  signal?: AbortSignal,
): AsyncGenerator<number, void, undefined> {
  const window = Buffer.alloc(SEARCH_WINDOW);
  const overlap = FRAME_HEADER_BYTES - 1;
  for (let position = from; position + FRAME_HEADER_BYTES <= source.size; position += SEARCH_WINDOW - overlap) {
    signal?.throwIfAborted();
    const part = window.subarray(0, Math.min(SEARCH_WINDOW, source.size - position));
    await source.read(position, part);
    for (const match of part.toString('latin1').matchAll(HEADER)) yield position + match.index;
  }
}
