import { crc32 } from '@virtnbd/checksums';
import { Crc32Shift } from './crc32-shift.ts';

/** What small reads are checked in. */
export const SUM_BLOCK = 4096;
/** For all sums of a file; untouched parts take no memory. A gigabyte of a file needs one of them. */
const SUM_BYTES = 8 * 1024 * 1024;
const WORD = 4;

/** Made when first needed: it makes checksums itself, and who only imports this makes none. */
let pastBlock: Crc32Shift | undefined;

/**
 * Checksums of 4 KiB each, made of chunks that were found whole: with them a small read of the same chunk needs to read and
 * check but its own blocks. Of two chunks that would take the same place the later one has it.
 */
export class BlockSums {
  readonly #blocksPerChunk: number;
  readonly #slots: number;
  /** The chunk that a slot is about, plus one. */
  #owners: Float64Array | undefined;
  #sums: Uint32Array | undefined;

  constructor(chunkSize: number, chunks: number) {
    this.#blocksPerChunk = Math.ceil(chunkSize / SUM_BLOCK);
    this.#slots = Math.min(chunks, Math.floor(SUM_BYTES / (WORD * this.#blocksPerChunk)));
  }

  /**
   * Takes the sums of a chunk if its checksum is right; the checksum comes of the sums, so that each byte is looked at once.
   *
   * @param crc CRC-32 that the chunk must have
   * @returns whether it has
   */
  learn(chunk: number, bytes: Uint8Array, crc: number): boolean {
    this.#owners ??= new Float64Array(this.#slots);
    this.#sums ??= new Uint32Array(this.#slots * this.#blocksPerChunk);
    const slot = chunk % this.#slots;
    this.#owners[slot] = 0;
    let at = slot * this.#blocksPerChunk;
    let found = 0;
    pastBlock ??= new Crc32Shift(SUM_BLOCK);
    for (let from = 0; from < bytes.length; from += SUM_BLOCK) {
      const block = bytes.subarray(from, from + SUM_BLOCK);
      const sum = crc32(block);
      found = block.length === SUM_BLOCK ? pastBlock.append(found, sum) : crc32(block, found);
      this.#sums[at++] = sum;
    }
    if (found !== crc) return false;
    this.#owners[slot] = chunk + 1;
    return true;
  }

  has(chunk: number): boolean {
    return this.#owners !== undefined && this.#owners[chunk % this.#slots] === chunk + 1;
  }

  /**
   * Whether these are the bytes that the chunk had. It must be one that `has` is true of.
   *
   * @param from bytes into the chunk, a multiple of SUM_BLOCK
   * @param bytes whole blocks, or up to the chunk's end
   */
  match(chunk: number, from: number, bytes: Uint8Array): boolean {
    let at = (chunk % this.#slots) * this.#blocksPerChunk + from / SUM_BLOCK;
    for (let block = 0; block < bytes.length; block += SUM_BLOCK) {
      if (crc32(bytes.subarray(block, block + SUM_BLOCK)) !== this.#sums?.[at++]) return false;
    }
    return true;
  }
}
