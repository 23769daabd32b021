import { createRequire } from 'node:module';
import type { ChecksumEngine } from '../engine.ts';

/** The name that every libdeflate since 2016 has on Linux. */
const LIBRARY_FILE = 'libdeflate.so.0';

/** Bytes to try it with, and their checksums by zlib: a wrong one would be written into files. */
const PROBE = Uint8Array.from({ length: 5000 }, (_, i) => i * 167 + (i >> 8));
const PROBE_CRC32 = 0xf5f4b2ac;
const PROBE_ADLER32 = 0xb425baa4;

/**
 * Binds libdeflate.
 *
 * @throws whatever koffi throws when it or the library cannot be loaded; an Error when what it says is wrong
 */
export function loadLibdeflate(): ChecksumEngine {
  // Not an import: who never makes a checksum need not wait for it, and who makes one cannot.
  const koffi: typeof import('koffi') = createRequire(import.meta.url)('koffi');
  const library = koffi.load(LIBRARY_FILE);
  const crc32: Update = library.func('uint32_t libdeflate_crc32(uint32_t crc, const void *buffer, size_t length)');
  const adler32: Update = library.func(
    'uint32_t libdeflate_adler32(uint32_t adler, const void *buffer, size_t length)',
  );
  const wrong = crc32(0, PROBE, PROBE.length) !== PROBE_CRC32 || adler32(1, PROBE, PROBE.length) !== PROBE_ADLER32;
  if (wrong) throw new Error(`${LIBRARY_FILE} gives wrong checksums`);
  // No bytes may be no address either, and that asks libdeflate for the value to begin with.
  return {
    name: 'libdeflate',
    crc32: (bytes, value = 0) => (bytes.length === 0 ? value : crc32(value, bytes, bytes.length)),
    adler32: (bytes, value = 1) => (bytes.length === 0 ? value : adler32(value, bytes, bytes.length)),
  };
}

type Update = (value: number, bytes: Uint8Array, length: number) => number;
