import { crc32 } from 'node:zlib';
import { adler32 } from './adler32.ts';
import type { ChecksumEngine } from './engine.ts';

/** What node itself has. */
export const zlibEngine: ChecksumEngine = { name: 'zlib', crc32: (bytes, value) => crc32(bytes, value), adler32 };
