import type { ChecksumEngine, ChecksumEngineName } from './engine.ts';
import { ChecksumError } from './errors.ts';
import { loadLibdeflate } from './ffi/libdeflate.ts';
import { zlibEngine } from './zlib.ts';

export type { ChecksumEngine, ChecksumEngineName } from './engine.ts';
export { ChecksumError } from './errors.ts';

let libdeflate: ChecksumEngine | undefined;
let best: ChecksumEngine | undefined;

/**
 * The engine of this machine, loaded at the first call: libdeflate, or zlib where it or koffi cannot be loaded.
 *
 * @param options.engine that one and no other
 * @throws ChecksumError LIBRARY_MISSING
 */
export function checksumEngine(options: { engine?: ChecksumEngineName } = {}): ChecksumEngine {
  if (options.engine === 'zlib') return zlibEngine;
  try {
    libdeflate ??= loadLibdeflate();
    return libdeflate;
  } catch (cause) {
    if (options.engine === undefined) return zlibEngine;
    const message = 'libdeflate cannot be loaded: install it (Debian: libdeflate0)';
    throw new ChecksumError('LIBRARY_MISSING', message, { cause });
  }
}

/** CRC-32 by the engine of this machine: see {@link ChecksumEngine.crc32}. */
export function crc32(bytes: Uint8Array, value = 0): number {
  best ??= checksumEngine();
  return best.crc32(bytes, value);
}

/** Adler-32 by the engine of this machine: see {@link ChecksumEngine.adler32}. */
export function adler32(bytes: Uint8Array, value = 1): number {
  best ??= checksumEngine();
  return best.adler32(bytes, value);
}
