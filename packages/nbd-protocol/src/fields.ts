import { NBD_MAX_STRING } from './constants.ts';
import { NbdCodecError } from './errors.ts';

const encoder = new TextEncoder();
const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const lenientDecoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** Reads big-endian fields one after the other and never past the end of the bytes. */
export class FieldReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #what: string;
  #position = 0;

  /** @param what the message's name, for errors */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = what;
  }

  get left(): number {
    return this.#bytes.byteLength - this.#position;
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2));
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4));
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8));
  }

  /** A 64-bit offset or size as a number; `OUT_OF_RANGE` where a number cannot hold it exactly. */
  size(): number {
    const position = this.#take(8);
    const high = this.#view.getUint32(position);
    // In halves: a million extents would otherwise make millions of bigints.
    if (high > 0x1fffff) {
      const value = this.#view.getBigUint64(position);
      throw new NbdCodecError('OUT_OF_RANGE', `${this.#what}: ${value} is past the largest exact number, 2^53 - 1`);
    }
    return high * 0x1_0000_0000 + this.#view.getUint32(position + 4);
  }

  magic(expected: bigint | number): void {
    const found = typeof expected === 'bigint' ? this.u64() : this.u32();
    if (found !== expected) {
      throw new NbdCodecError(
        'BAD_MAGIC',
        `${this.#what}: magic 0x${found.toString(16)}, not 0x${expected.toString(16)}`,
      );
    }
  }

  bytes(length: number): Uint8Array {
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** A name of at most 4096 bytes of UTF-8. */
  name(length: number): string {
    return this.#string(length, strictDecoder);
  }

  /** Text for people: bytes that are not UTF-8 are replaced, not refused. */
  text(length: number): string {
    return this.#string(length, lenientDecoder);
  }

  /** Fails with `BAD_LENGTH` where bytes are left over. */
  end(): void {
    if (this.left > 0) throw new NbdCodecError('BAD_LENGTH', `${this.#what}: ${this.left} bytes too many`);
  }

  #string(length: number, decoder: InstanceType<typeof TextDecoder>): string {
    if (length > NBD_MAX_STRING) {
      throw new NbdCodecError(
        'LIMIT',
        `${this.#what}: a string of ${length} bytes; at most ${NBD_MAX_STRING} are allowed`,
      );
    }
    const bytes = this.bytes(length);
    try {
      return decoder.decode(bytes);
    } catch {
      throw new NbdCodecError('BAD_VALUE', `${this.#what}: a name that is not UTF-8`);
    }
  }

  #take(length: number): number {
    if (length > this.left) {
      throw new NbdCodecError('TRUNCATED', `${this.#what}: ${length} bytes expected, ${this.left} are there`);
    }
    const start = this.#position;
    this.#position += length;
    return start;
  }
}

/** Writes big-endian fields one after the other into a message whose length is known from the start. */
export class FieldWriter {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  #position = 0;

  constructor(length: number) {
    this.bytes = new Uint8Array(length);
    this.#view = new DataView(this.bytes.buffer);
  }

  u16(value: number): this {
    this.#view.setUint16(this.#advance(2), checked(value, 0xffff));
    return this;
  }

  u32(value: number): this {
    this.#view.setUint32(this.#advance(4), checked(value, 0xffffffff));
    return this;
  }

  u64(value: bigint): this {
    this.#view.setBigUint64(this.#advance(8), value);
    return this;
  }

  /** An offset or size of up to 2^53 - 1 as 64 bits. */
  size(value: number): this {
    checked(value, Number.MAX_SAFE_INTEGER);
    const position = this.#advance(8);
    this.#view.setUint32(position, Math.floor(value / 0x1_0000_0000));
    this.#view.setUint32(position + 4, value % 0x1_0000_0000);
    return this;
  }

  raw(bytes: Uint8Array): this {
    this.bytes.set(bytes, this.#advance(bytes.byteLength));
    return this;
  }

  #advance(length: number): number {
    const start = this.#position;
    this.#position += length;
    return start;
  }
}

/** A string as UTF-8; `LIMIT` where it is longer than the specification allows. */
export function encodeString(value: string): Uint8Array {
  const bytes = encoder.encode(value);
  if (bytes.byteLength > NBD_MAX_STRING) {
    throw new NbdCodecError('LIMIT', `a string of ${bytes.byteLength} bytes; at most ${NBD_MAX_STRING} are allowed`);
  }
  return bytes;
}

function checked(value: number, maximum: number): number {
  if (!Number.isInteger(value) || value < 0 || value > maximum) {
    throw new NbdCodecError('OUT_OF_RANGE', `${value} is no whole number from 0 to ${maximum}`);
  }
  return value;
}
