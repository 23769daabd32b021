/** Who does the work: the system's libdeflate, or zlib (CRC-32) and WebAssembly (Adler-32). */
export type ChecksumEngineName = 'libdeflate' | 'zlib';

/** Checksums of bytes that may come piece by piece, in memory of any kind, shared or not. */
export interface ChecksumEngine {
  readonly name: ChecksumEngineName;

  /**
   * CRC-32 as zlib, gzip (RFC 1952) and Ethernet have it.
   *
   * @param value that of the bytes before, 0 … 2^32 − 1; 0 by default, which stands for none
   * @returns 0 … 2^32 − 1
   */
  crc32(bytes: Uint8Array, value?: number): number;

  /**
   * Adler-32 of RFC 1950.
   *
   * @param value that of the bytes before, 1 … 2^32 − 1; 1 by default, which stands for none
   * @returns 0 … 2^32 − 1
   */
  adler32(bytes: Uint8Array, value?: number): number;
}
