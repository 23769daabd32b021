import { deflateSync } from 'node:zlib';

/** Adler-32 by zlib itself: the last four bytes of any zlib stream. */
export function adler32OfZlib(bytes: Uint8Array): number {
  const stream = deflateSync(bytes, { level: 0 });
  return stream.readUInt32BE(stream.length - 4);
}
