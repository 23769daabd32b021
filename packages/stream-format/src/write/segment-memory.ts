import { type Adler32Kernel, adler32Kernel, type KernelMemory } from '../checks/adler32-kernel.ts';

/** Bytes of a segment: what a sink is given at a time. */
export const SEGMENT_BYTES = 1 << 20;
const WASM_PAGE_BYTES = 65_536;

interface WebAssemblyLike {
  Memory: {
    new (options: { initial: number }): KernelMemory;
    new (options: { initial: number; maximum: number; shared: true }): { readonly buffer: SharedArrayBuffer };
  };
}

export interface SegmentMemory {
  readonly segments: Uint8Array[];
  /** Makes checksums of segments where they are, without a copy; not of shared ones. */
  readonly kernel?: Adler32Kernel | undefined;
}

/**
 * Memory for so many segments, each at the start of a page, so that a sink can write it past the page cache. WebAssembly has
 * such memory; where it has none, plain buffers do.
 *
 * @param shared with the thread that makes checksums. V8 copies into shared memory byte by byte unless both sides begin at a
 *   multiple of 8, at a quarter of the rate; what a system call puts there is as fast as anywhere
 */
export function segmentMemory(count: number, shared: boolean): SegmentMemory {
  const { WebAssembly } = globalThis as { WebAssembly?: WebAssemblyLike };
  const pages = (count * SEGMENT_BYTES) / WASM_PAGE_BYTES;
  try {
    if (WebAssembly === undefined) return plainMemory(count);
    if (shared) {
      const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages, shared });
      return { segments: cut(buffer, count) };
    }
    const memory = new WebAssembly.Memory({ initial: pages });
    return { segments: cut(memory.buffer, count), kernel: adler32Kernel(memory) };
  } catch {
    return plainMemory(count); // a limit of address space
  }
}

/** As segmentMemory, of ordinary buffers. */
export function plainMemory(count: number): SegmentMemory {
  return { segments: Array.from({ length: count }, () => new Uint8Array(SEGMENT_BYTES)) };
}

function cut(buffer: ArrayBuffer | SharedArrayBuffer, count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => new Uint8Array(buffer, i * SEGMENT_BYTES, SEGMENT_BYTES));
}
