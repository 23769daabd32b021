import { Adler32 } from '../checks/adler32.ts';
import type { Walk } from '../frames/walk.ts';
import { cutOff } from './scan.ts';

/** Bytes from a stream, taken in the portions that a parser needs. Holds no more than what was asked for and one chunk. */
export class ByteQueue {
  readonly #input: AsyncIterator<Uint8Array>;
  readonly #signal: AbortSignal | undefined;
  readonly #adler32 = new Adler32();
  #chunks: Uint8Array[] = [];
  #available = 0;
  #offset = 0;
  #ended = false;

  constructor(input: AsyncIterator<Uint8Array>, signal?: AbortSignal) {
    this.#input = input;
    this.#signal = signal;
  }

  /** Offset in the file of the next byte. */
  get offset(): number {
    return this.#offset;
  }

  /** Adler-32 of all bytes taken. */
  get adler32(): number {
    return this.#adler32.value;
  }

  /** Makes `length` bytes available. False when the stream ends before. */
  async fill(length: number): Promise<boolean> {
    while (this.#available < length && !this.#ended) {
      this.#signal?.throwIfAborted();
      const { value, done } = await this.#input.next();
      if (done) this.#ended = true;
      else if (value.length > 0) {
        this.#chunks.push(value);
        this.#available += value.length;
      }
    }
    return this.#available >= length;
  }

  /** Takes exactly `length` bytes. @throws StreamFormatError TRUNCATED when the stream ends before */
  async take(length: number): Promise<Uint8Array> {
    await this.#require(length);
    return this.#remove(length);
  }

  /** Takes at least 1 and at most `most` bytes: what is there, without a copy. */
  async takeSome(most: number): Promise<Uint8Array> {
    await this.#require(1);
    return this.#remove(Math.min(most, this.#chunks[0]?.length ?? 0));
  }

  /** Takes what is there up to a byte, which stays; nothing when it comes next. */
  async takeUntil(byte: number): Promise<Uint8Array> {
    await this.#require(1);
    const [first = new Uint8Array(0)] = this.#chunks;
    const end = first.indexOf(byte);
    return this.#remove(end < 0 ? first.length : end);
  }

  /** Whether nothing follows. */
  async atEnd(): Promise<boolean> {
    return !(await this.fill(1));
  }

  /** Lets a parser walk over the bytes that come next; they stay here. */
  async walk<T>(walk: Walk<T>): Promise<T> {
    let step = walk.next();
    while (!step.done) {
      const end = step.value.at + step.value.length - this.#offset;
      step = walk.next((await this.fill(end)) ? this.#peek(end - step.value.length, end) : undefined);
    }
    return step.value;
  }

  async #require(length: number): Promise<void> {
    if (!(await this.fill(length))) throw cutOff(this.#offset + this.#available);
  }

  #peek(from: number, to: number): Uint8Array {
    const bytes = new Uint8Array(to - from);
    let start = 0;
    for (const chunk of this.#chunks) {
      const first = Math.max(from - start, 0);
      const part = chunk.subarray(first, Math.max(to - start, 0));
      if (part.length > 0) bytes.set(part, start + first - from);
      start += chunk.length;
      if (start >= to) break;
    }
    return bytes;
  }

  #remove(length: number): Uint8Array {
    const [first = new Uint8Array(0)] = this.#chunks;
    let bytes: Uint8Array;
    if (first.length >= length) {
      bytes = first.subarray(0, length);
      this.#dropFromFirst(first, length);
    } else {
      bytes = new Uint8Array(length);
      for (let done = 0; done < length; ) {
        const [chunk = first] = this.#chunks;
        const part = chunk.subarray(0, length - done);
        bytes.set(part, done);
        done += part.length;
        this.#dropFromFirst(chunk, part.length);
      }
    }
    this.#available -= length;
    this.#offset += length;
    this.#adler32.update(bytes);
    return bytes;
  }

  #dropFromFirst(chunk: Uint8Array, length: number): void {
    if (chunk.length === length) this.#chunks.shift();
    else this.#chunks[0] = chunk.subarray(length);
  }
}
