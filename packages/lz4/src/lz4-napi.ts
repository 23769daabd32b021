import type { Lz4Engine } from './engine.ts';
import { Lz4Error } from './errors.ts';
import { Limiter } from './limiter.ts';

/** As many as with liblz4, so that memory is bounded: every call allocates its result. */
const CALLS = 3;
/** It has one level, the fast one. */
const MAXIMUM_LEVEL = 2;

/** The engine for machines without liblz4: the library inside lz4-napi. It allocates what it gives, which is then copied. */
export async function loadLz4Napi(): Promise<Lz4Engine> {
  const { compressFrame, decompressFrame } = await import('lz4-napi');
  const limiter = new Limiter(CALLS);
  return {
    name: 'lz4-napi',
    version: '2.10',
    maximumLevel: MAXIMUM_LEVEL,

    async compress(source, target, level) {
      if (!Number.isInteger(level) || level < 1 || level > MAXIMUM_LEVEL) {
        throw new Lz4Error(
          'USAGE',
          `lz4-napi has the levels 1 and 2, not ${level}; install liblz4 (liblz4-1) for more`,
        );
      }
      const frame = await limiter.run(() => compressFrame(source, { blockChecksums: true, contentChecksum: false }));
      if (frame.length > target.length) throw new Lz4Error('USAGE', `${target.length} bytes are too few for the frame`);
      target.set(frame);
      return frame.length;
    },

    async decompress(source, target) {
      let bytes: Uint8Array;
      try {
        bytes = await limiter.run(() => decompressFrame(source));
      } catch (cause) {
        throw new Lz4Error('BAD_FRAME', `lz4-napi says: ${cause instanceof Error ? cause.message : cause}`, { cause });
      }
      if (bytes.length !== target.length) {
        throw new Lz4Error('BAD_FRAME', `The LZ4 frame holds ${bytes.length} bytes instead of ${target.length}`);
      }
      target.set(bytes);
    },
  };
}
