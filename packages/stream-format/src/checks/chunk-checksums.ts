import { crc32 } from '@virtnbd/checksums';
import { StreamFormatError } from '../errors.ts';

/*
 * The chunk checksum file (SPEC.md, "Chunk checksum file"), little-endian:
 *
 *    0  8  magic "VNBDCRC" and a zero byte
 *    8  4  version, 2
 *   12  4  chunk size in bytes
 *   16  8  size of the stream file in bytes
 *   24  4  n, the number of chunks: file size / chunk size, rounded up
 *   28  4  t, bytes of the frame table; 0 when there is none
 *   32  4n CRC-32 (zlib) of each chunk, the last one shorter
 *    …  t  frame table
 *    …  4  CRC-32 of all bytes before
 *
 * Version 1 has neither t nor the table: the checksums begin at 28.
 */

const MAGIC = Buffer.from('VNBDCRC\0', 'latin1');
const VERSION = 2;
const TABLE = 32;
const TABLE_VERSION_1 = 28;
const SMALLEST_CHUNK = 4096;
const LARGEST_CHUNK = 16 * 1024 * 1024;

/** Bytes of a chunk unless said otherwise. */
export const DEFAULT_CHUNK_BYTES = 256 * 1024;

/** CRC-32 of each chunk of fixed size of a file, so that any part of it can be checked alone. */
export class ChunkChecksums {
  /** Bytes of a chunk; the last one may be shorter. */
  readonly chunkSize: number;
  /** Bytes of the file. */
  readonly fileSize: number;
  /** Number of chunks. */
  readonly count: number;
  /**
   * The frame table of the stream file as its writer made it, encoded; undefined without one. It spares who opens
   * the file the headers of the frames.
   */
  readonly frameTable?: Uint8Array;
  readonly #crcs: Uint32Array;

  /** @throws StreamFormatError USAGE when the number of checksums does not fit the sizes */
  constructor(chunkSize: number, fileSize: number, crcs: Uint32Array, frameTable?: Uint8Array) {
    checkChunkSize(chunkSize);
    if (crcs.length !== Math.ceil(fileSize / chunkSize)) {
      throw new StreamFormatError('USAGE', `${crcs.length} checksums for ${fileSize} bytes in chunks of ${chunkSize}`);
    }
    this.chunkSize = chunkSize;
    this.fileSize = fileSize;
    this.count = crcs.length;
    this.#crcs = crcs;
    if (frameTable !== undefined && fits(chunkSize, fileSize, frameTable)) this.frameTable = frameTable;
  }

  /** CRC-32 of a chunk. @throws RangeError outside 0 … count − 1 */
  crc(index: number): number {
    const crc = this.#crcs[index];
    if (crc === undefined) throw new RangeError(`Chunk ${index} of ${this.count}`);
    return crc;
  }

  /** The bytes of a chunk checksum file: at most 4 KiB and 1/1024 of the stream file. */
  encode(): Uint8Array {
    const frames = this.frameTable ?? new Uint8Array(0);
    const bytes = Buffer.alloc(TABLE + 4 * this.count + frames.length + 4);
    MAGIC.copy(bytes);
    bytes.writeUInt32LE(VERSION, 8);
    bytes.writeUInt32LE(this.chunkSize, 12);
    bytes.writeBigUInt64LE(BigInt(this.fileSize), 16);
    bytes.writeUInt32LE(this.count, 24);
    bytes.writeUInt32LE(frames.length, 28);
    for (let i = 0; i < this.count; i++) bytes.writeUInt32LE(this.crc(i), TABLE + 4 * i);
    bytes.set(frames, TABLE + 4 * this.count);
    bytes.writeUInt32LE(crc32(bytes.subarray(0, -4)), bytes.length - 4);
    return bytes;
  }

  /** Reads a chunk checksum file. @throws StreamFormatError BAD_CHECKSUM_FILE or UNSUPPORTED */
  static decode(bytes: Uint8Array): ChunkChecksums {
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (view.length < TABLE || !view.subarray(0, 8).equals(MAGIC)) throw badFile('is none, or was cut off');
    const version = view.readUInt32LE(8);
    if (version !== 1 && version !== VERSION) {
      throw new StreamFormatError(
        'UNSUPPORTED',
        `The chunk checksum file is of version ${version}; this program reads 1 and 2`,
      );
    }
    const chunkSize = view.readUInt32LE(12);
    const fileSize = Number(view.readBigUInt64LE(16));
    const count = view.readUInt32LE(24);
    const crcsStart = version === 1 ? TABLE_VERSION_1 : TABLE;
    const frameBytes = version === 1 ? 0 : view.readUInt32LE(28);
    const crcsEnd = crcsStart + 4 * count;
    if (view.length !== crcsEnd + frameBytes + 4) throw badFile('has a wrong length');
    if (crc32(view.subarray(0, -4)) !== view.readUInt32LE(view.length - 4)) throw badFile('fails its own checksum');
    if (!isChunkSize(chunkSize) || !Number.isSafeInteger(fileSize) || Math.ceil(fileSize / chunkSize) !== count) {
      throw badFile('contradicts itself');
    }
    const crcs = Uint32Array.from({ length: count }, (_, i) => view.readUInt32LE(crcsStart + 4 * i));
    const frameTable = frameBytes > 0 ? view.subarray(crcsEnd, crcsEnd + frameBytes) : undefined;
    if (frameTable !== undefined && !fits(chunkSize, fileSize, frameTable)) throw badFile('is too large');
    return new ChunkChecksums(chunkSize, fileSize, crcs, frameTable);
  }
}

/** Makes the chunk checksums of a file whose bytes come piece by piece. */
export class ChunkHasher {
  readonly #chunkSize: number;
  #crcs = new Uint32Array(64);
  #count = 0;
  #crc = 0;
  #inChunk = 0;
  #fileSize = 0;
  /** CRC-32 of a chunk of zeroes, once it was needed. */
  #zeroChunk: number | undefined;

  /** @param chunkSize bytes, a multiple of 4 KiB up to 16 MiB; 256 KiB by default */
  constructor(chunkSize: number = DEFAULT_CHUNK_BYTES) {
    checkChunkSize(chunkSize);
    this.#chunkSize = chunkSize;
  }

  update(bytes: Uint8Array): void {
    for (let position = 0; position < bytes.length; ) {
      const part = bytes.subarray(position, position + this.#chunkSize - this.#inChunk);
      this.#crc = crc32(part, this.#crc);
      this.#inChunk += part.length;
      position += part.length;
      if (this.#inChunk === this.#chunkSize) this.#endChunk();
    }
    this.#fileSize += bytes.length;
  }

  /** As `update` with so many zero bytes, at next to no cost. */
  updateZeroes(length: number): void {
    let left = length;
    const upTo = (bytes: number): void => {
      this.update(new Uint8Array(bytes));
      left -= bytes;
    };
    if (this.#inChunk > 0) upTo(Math.min(left, this.#chunkSize - this.#inChunk));
    this.#zeroChunk ??= left < this.#chunkSize ? undefined : crc32(new Uint8Array(this.#chunkSize));
    for (; left >= this.#chunkSize; left -= this.#chunkSize) {
      this.#crc = this.#zeroChunk ?? 0;
      this.#fileSize += this.#chunkSize;
      this.#endChunk();
    }
    if (left > 0) upTo(left);
  }

  /**
   * Call once, after the last byte.
   *
   * @param frameTable of a stream file, encoded; left out where the frames are so small that it would not pay
   */
  finish(frameTable?: Uint8Array): ChunkChecksums {
    if (this.#inChunk > 0) this.#endChunk();
    return new ChunkChecksums(this.#chunkSize, this.#fileSize, this.#crcs.slice(0, this.#count), frameTable);
  }

  #endChunk(): void {
    if (this.#count === this.#crcs.length) {
      const grown = new Uint32Array(this.#count * 2);
      grown.set(this.#crcs);
      this.#crcs = grown;
    }
    this.#crcs[this.#count++] = this.#crc;
    this.#crc = 0;
    this.#inChunk = 0;
  }
}

/** Whether a chunk checksum file with this frame table is small enough: a reader may refuse larger ones unread. */
function fits(chunkSize: number, fileSize: number, frameTable: Uint8Array): boolean {
  return TABLE + 4 * Math.ceil(fileSize / chunkSize) + frameTable.length + 4 <= 4096 + Math.floor(fileSize / 1024);
}

function isChunkSize(chunkSize: number): boolean {
  return chunkSize >= SMALLEST_CHUNK && chunkSize <= LARGEST_CHUNK && chunkSize % SMALLEST_CHUNK === 0;
}

function checkChunkSize(chunkSize: number): void {
  if (!isChunkSize(chunkSize)) {
    throw new StreamFormatError('USAGE', `A chunk size of ${chunkSize}; it is a multiple of 4 KiB up to 16 MiB`);
  }
}

function badFile(what: string): StreamFormatError {
  return new StreamFormatError('BAD_CHECKSUM_FILE', `The chunk checksum file ${what}: it is damaged`);
}
