import { crc32 } from '@virtnbd/checksums';

/**
 * The CRC-32 of two pieces put together, from that of each, where the second one has a fixed length.
 *
 * With a given input, zlib's crc32 is affine in the value that it starts from: crc32(b, a) = shift(a) ^ crc32(b, 0), where
 * shift depends on the length of b alone and is linear. So it is known from what it makes of each bit; a table for each of
 * the four bytes spares adding up the bits.
 */
export class Crc32Shift {
  /** Of byte n with value v: at 256 n + v. */
  readonly #tables = new Uint32Array(4 * 256);

  /** @param length of the second piece, in bytes */
  constructor(length: number) {
    const zeroes = new Uint8Array(length);
    const constant = crc32(zeroes);
    for (let bit = 0; bit < 32; bit++) {
      const shifted = crc32(zeroes, 2 ** bit) ^ constant;
      const table = Math.floor(bit / 8) * 256;
      const value = 1 << (bit % 8);
      for (let lower = 0; lower < value; lower++) this.#set(table + value + lower, this.#at(table + lower) ^ shifted);
    }
  }

  /**
   * @param first CRC-32 of the first piece, of any length
   * @param second CRC-32 of the second piece
   */
  append(first: number, second: number): number {
    const low = this.#at(first & 0xff) ^ this.#at(256 + ((first >>> 8) & 0xff));
    const high = this.#at(512 + ((first >>> 16) & 0xff)) ^ this.#at(768 + (first >>> 24));
    return (low ^ high ^ second) >>> 0;
  }

  #at(index: number): number {
    return this.#tables[index] ?? 0;
  }

  #set(index: number, value: number): void {
    this.#tables[index] = value;
  }
}
