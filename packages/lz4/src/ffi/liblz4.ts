import koffi from 'koffi';
import type { Lz4Engine } from '../engine.ts';
import { Lz4Error } from '../errors.ts';
import { Limiter } from '../limiter.ts';

/** The name that every liblz4 since 2014 has on Linux. */
export const LIBRARY_FILE = 'liblz4.so.1';

/**
 * Calls at a time. They run on the four threads of libuv's pool, which file I/O needs as well: one is left to it.
 * More calls wait here, where they hold no memory of koffi's.
 */
const CALLS = 3;

/** Up to this many bytes the call itself takes less time than handing it to another thread and back. */
const AT_ONCE = 16 * 1024;

const MAXIMUM_LEVEL = 12;
/** LZ4F_VERSION of lz4frame.h. */
const API_VERSION = 100;

/*
 * LZ4F_preferences_t of lz4frame.h, 56 bytes:
 *
 *    0  int block size: 4 = 64 KiB
 *    4  int block mode: 0 = linked, so that a small block still sees the 64 KiB before it
 *    8  int content checksum: off, since every block has its own; a fifth of the time
 *   12  int frame type, 16 u64 content size, 24 u32 dictionary: 0
 *   28  int block checksum
 *   32  int level
 *   36  u32 auto flush, 40 u32 favour speed of decompression, 44 u32 reserved, three times: 0
 */
function preferences(level: number): Buffer {
  const bytes = Buffer.alloc(56);
  bytes.writeInt32LE(4, 0);
  bytes.writeInt32LE(1, 28);
  bytes.writeInt32LE(level, 32);
  return bytes;
}

/*
 * LZ4F_decompressOptions_t, 16 bytes:
 *
 *    0  u32 stable target: what is decompressed stays where it is, and need not be copied
 *    4  u32 skip checksums, since 1.9.4; ignored before
 *    8  u32 reserved, twice: 0
 */
const VERIFY = Buffer.alloc(16);
VERIFY.writeUInt32LE(1, 0);
const SKIP_CHECKSUMS = Buffer.from(VERIFY);
SKIP_CHECKSUMS.writeUInt32LE(1, 4);

type Callback = (error: Error | null, result: bigint | number) => void;
type Context = bigint;

/**
 * Binds liblz4.
 *
 * @throws whatever koffi throws when the library cannot be loaded
 */
export function loadLiblz4(file: string = LIBRARY_FILE): Lz4Engine {
  const library = koffi.load(file);
  const versionString: () => string = library.func('const char *LZ4_versionString()');
  const isError: (code: bigint | number) => number = library.func('unsigned int LZ4F_isError(size_t code)');
  const errorName: (code: bigint | number) => string = library.func('const char *LZ4F_getErrorName(size_t code)');
  const compressFrame = library.func(
    'size_t LZ4F_compressFrame(void *dst, size_t dstCapacity, void *src, size_t srcSize, void *preferences)',
  );
  const createContext: (context: BigUint64Array, version: number) => bigint | number = library.func(
    'size_t LZ4F_createDecompressionContext(void *context, unsigned int version)',
  );
  const resetContext: (context: Context) => void = library.func('void LZ4F_resetDecompressionContext(void *context)');
  const decompressSome = library.func(
    'size_t LZ4F_decompress(void *context, void *dst, void *dstSize, void *src, void *srcSize, void *options)',
  );
  const limiter = new Limiter(CALLS);
  const levels = Array.from({ length: MAXIMUM_LEVEL + 1 }, (_, level) => preferences(level));
  /** At most as many as there are calls at a time; kept for the life of the process, some 200 KiB each. */
  const contexts: Context[] = [];

  const check = (code: bigint | number): bigint | number => {
    if (isError(code) === 0) return code;
    throw new Lz4Error('BAD_FRAME', `liblz4 says: ${errorName(code)}`);
  };
  const makeContext = (): Context => {
    const made = new BigUint64Array(1);
    check(createContext(made, API_VERSION));
    return made[0] ?? 0n;
  };
  const withContext = async (call: (context: Context) => Promise<bigint | number>): Promise<bigint | number> => {
    const context = contexts.pop() ?? makeContext();
    try {
      return await call(context);
    } finally {
      resetContext(context);
      contexts.push(context);
    }
  };

  return {
    name: 'liblz4',
    version: versionString(),
    maximumLevel: MAXIMUM_LEVEL,

    async compress(source, target, level) {
      const chosen = levels[level];
      if (chosen === undefined || level < 1) throw new Lz4Error('USAGE', `LZ4 has the levels 1 to 12, not ${level}`);
      const size = (code: bigint | number): number => {
        if (isError(code) !== 0) throw new Lz4Error('USAGE', `liblz4 cannot compress: ${errorName(code)}`);
        return Number(code);
      };
      if (source.length <= AT_ONCE)
        return size(compressFrame(target, target.length, source, source.length, chosen) as bigint | number);
      return await limiter.run(async () =>
        size(
          await asPromise((done) => compressFrame.async(target, target.length, source, source.length, chosen, done)),
        ),
      );
    },

    async decompress(source, target, { skipChecksums = false } = {}) {
      const options = skipChecksums ? SKIP_CHECKSUMS : VERIFY;
      const sizes = BigUint64Array.of(BigInt(target.length), BigInt(source.length));
      // One call does all of it: the whole frame is there, and so is the room for its content.
      const words = [target, sizes.subarray(0, 1), source, sizes.subarray(1), options] as const;
      const left =
        target.length <= AT_ONCE
          ? await withContext(async (context) => decompressSome(context, ...words))
          : await limiter.run(() =>
              withContext((context) => asPromise((done) => decompressSome.async(context, ...words, done))),
            );
      requireWhole(Number(check(left)), sizes, source.length, target.length);
    },
  };
}

function asPromise(call: (done: Callback) => void): Promise<bigint | number> {
  return new Promise((resolve, reject) => {
    call((error, result) => (error === null || error === undefined ? resolve(result) : reject(error)));
  });
}

/** The frame must end where the source does, and fill the target. */
function requireWhole(left: number, sizes: BigUint64Array, source: number, target: number): void {
  if (left === 0 && Number(sizes[0]) === target && Number(sizes[1]) === source) return;
  const what = `${sizes[1]} of ${source} bytes gave ${sizes[0]} of ${target}`;
  throw new Lz4Error('BAD_FRAME', `The LZ4 frame does not hold what it should: ${what}, and ${left} more are missing`);
}
