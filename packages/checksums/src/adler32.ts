import { KERNEL_BYTES, loadAdler32Kernel } from './adler32-kernel.ts';

const BASE = 65521;
/** Bytes that plain JavaScript adds before it reduces; sums stay exact well past 32 bits in a double. */
const ROUND = 4096;
/** Shorter inputs do not pay for the copy into the kernel's memory. */
const KERNEL_MINIMUM = 128;

let loaded: ReturnType<typeof loadAdler32Kernel> | null = null;

/** Adler-32 of RFC 1950, by WebAssembly where it pays and is to be had. */
export function adler32(bytes: Uint8Array, value = 1): number {
  if (loaded === null) loaded = loadAdler32Kernel();
  let a = value & 0xffff;
  let b = value >>> 16;
  let position = 0;
  if (loaded !== undefined && bytes.length >= KERNEL_MINIMUM) {
    const end = bytes.length - (bytes.length % 32);
    while (position < end) {
      const length = Math.min(end - position, KERNEL_BYTES);
      loaded.memory.set(bytes.subarray(position, position + length));
      const packed = loaded.kernel(length, a, b);
      a = packed & 0xffff;
      b = packed >>> 16;
      position += length;
    }
  }
  while (position < bytes.length) {
    const stop = Math.min(position + ROUND, bytes.length);
    for (; position < stop; position++) {
      a += bytes[position] ?? 0;
      b += a;
    }
    a %= BASE;
    b %= BASE;
  }
  return b * 65536 + a;
}
