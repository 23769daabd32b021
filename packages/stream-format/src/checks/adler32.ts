import { type Adler32Kernel, KERNEL_BYTES, loadAdler32Kernel } from './adler32-kernel.ts';

const BASE = 65521;
/** Bytes that plain JavaScript adds before it reduces; sums stay exact well past 32 bits in a double. */
const ROUND = 4096;
/** Shorter inputs do not pay for the copy into the kernel's memory. */
const KERNEL_MINIMUM = 128;

let loaded: ReturnType<typeof loadAdler32Kernel> | null = null;

/** Adler-32 as zlib and RFC 1950 define it, of bytes that come piece by piece. */
export class Adler32 {
  #a = 1;
  #b = 0;

  update(bytes: Uint8Array): void {
    if (loaded === null) loaded = loadAdler32Kernel();
    let position = 0;
    if (loaded !== undefined && bytes.length >= KERNEL_MINIMUM) {
      const end = bytes.length - (bytes.length % 32);
      while (position < end) {
        const length = Math.min(end - position, KERNEL_BYTES);
        loaded.memory.set(bytes.subarray(position, position + length));
        this.#unpack(loaded.kernel(length, this.#a, this.#b, 0));
        position += length;
      }
    }
    if (position < bytes.length) this.#updatePlain(bytes, position);
  }

  /** As `update`, of bytes in the kernel's memory: they need not be copied there. */
  updateInPlace(bytes: Uint8Array, kernel: Adler32Kernel): void {
    const whole = bytes.length - (bytes.length % 32);
    if (whole > 0) this.#unpack(kernel(bytes.byteOffset + whole, this.#a, this.#b, bytes.byteOffset));
    if (whole < bytes.length) this.#updatePlain(bytes, whole);
  }

  #unpack(packed: number): void {
    this.#a = packed & 0xffff;
    this.#b = packed >>> 16;
  }

  /** As `update` with bytes of which only the checksum and the length are known. */
  append(adler32: number, length: number): void {
    const [a, b] = [adler32 % 65536, Math.floor(adler32 / 65536)];
    // Of the second part a began at 1, and not where the first had come to: every byte of it adds that to b.
    this.#b = (this.#b + b + (length % BASE) * (this.#a + BASE - 1)) % BASE;
    this.#a = (this.#a + a + BASE - 1) % BASE;
  }

  /** The checksum so far, 0 … 2^32 − 1; 1 before the first byte. */
  get value(): number {
    return this.#b * 65536 + this.#a;
  }

  #updatePlain(bytes: Uint8Array, from: number): void {
    let a = this.#a;
    let b = this.#b;
    for (let position = from; position < bytes.length; ) {
      const stop = Math.min(position + ROUND, bytes.length);
      for (; position < stop; position++) {
        a += bytes[position] ?? 0;
        b += a;
      }
      a %= BASE;
      b %= BASE;
    }
    this.#a = a;
    this.#b = b;
  }
}
