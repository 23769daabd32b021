import { adler32 } from '@virtnbd/checksums';

/** Adler-32 as zlib and RFC 1950 define it, of bytes that come piece by piece. */
export class Adler32 {
  #value = 1;

  update(bytes: Uint8Array): void {
    this.#value = adler32(bytes, this.#value);
  }

  /** The checksum so far, 0 … 2^32 − 1; 1 before the first byte. */
  get value(): number {
    return this.#value;
  }
}
