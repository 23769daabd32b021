import { promisify } from 'node:util';
import { constants, zstdCompress } from 'node:zlib';
import { compressBound, loadLz4 } from '@virtnbd/lz4';
import type { CompressionMethod } from '../frames/codec.ts';

/** A compressed payload. `release` gives its memory back; the bytes are gone then. */
export interface EncodedPayload {
  readonly bytes: Uint8Array;
  release(): void;
}

export interface Encoder {
  /** The level that is really used. */
  readonly level: number;
  /** Compresses a payload, which must not change before the promise settles. */
  encode(payload: Uint8Array): Promise<EncodedPayload>;
}

/** What the established tool's `-z` stands for. */
const LZ4_LEVEL = 2;
/** Library default of zstd. */
const ZSTD_LEVEL = 3;
const ZSTD_MAXIMUM = 22;
/** Buffers kept for the payloads that come after. */
const BUFFERS_KEPT = 16;

const compressZstd = promisify(zstdCompress);

/** @param level wanted; the nearest one that there is is taken */
export async function createEncoder(method: CompressionMethod, level: number | undefined): Promise<Encoder> {
  return method === 'lz4' ? await lz4Encoder(level ?? LZ4_LEVEL) : zstdEncoder(level ?? ZSTD_LEVEL);
}

async function lz4Encoder(wanted: number): Promise<Encoder> {
  const engine = await loadLz4();
  const level = nearest(wanted, engine.maximumLevel);
  const buffers = new BufferStock();
  return {
    level,
    async encode(payload) {
      const buffer = buffers.take(compressBound(payload.length));
      try {
        const size = await engine.compress(payload, buffer, level);
        return { bytes: buffer.subarray(0, size), release: () => buffers.give(buffer) };
      } catch (error) {
        buffers.give(buffer);
        throw error;
      }
    },
  };
}

function zstdEncoder(wanted: number): Encoder {
  const level = nearest(wanted, ZSTD_MAXIMUM);
  const params = { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 };
  return {
    level,
    async encode(payload) {
      return { bytes: await compressZstd(payload, { params }), release: () => undefined };
    },
  };
}

function nearest(level: number, maximum: number): number {
  return Math.min(Math.max(1, Math.trunc(level)), maximum);
}

/** Used again rather than left to the garbage collector: a backup would else hold many times what it has in flight. */
class BufferStock {
  readonly #kept: Uint8Array[] = [];

  take(length: number): Uint8Array {
    const kept = this.#kept.pop();
    return kept !== undefined && kept.length >= length ? kept : new Uint8Array(length);
  }

  give(buffer: Uint8Array): void {
    if (this.#kept.length < BUFFERS_KEPT) this.#kept.push(buffer);
  }
}
