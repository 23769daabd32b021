/** Bytes of a segment: what a sink is given at a time. */
export const SEGMENT_BYTES = 1 << 20;
const WASM_PAGE_BYTES = 65_536;

interface WebAssemblyLike {
  Memory: new (options: {
    initial: number;
    maximum: number;
    shared: boolean;
  }) => {
    buffer: ArrayBuffer | SharedArrayBuffer;
  };
}

/**
 * Memory for so many segments, each at the start of a page, so that a sink can write it past the page cache. WebAssembly has
 * such memory; where it has none, plain buffers do.
 *
 * @param shared with the thread that makes checksums. V8 copies into shared memory byte by byte unless both sides begin at a
 *   multiple of 8, at a quarter of the rate; what a system call puts there is as fast as anywhere
 */
export function segmentMemory(count: number, shared: boolean): Uint8Array[] {
  const buffer = alignedMemory(count * SEGMENT_BYTES, shared);
  if (buffer === undefined) return Array.from({ length: count }, () => Buffer.allocUnsafeSlow(SEGMENT_BYTES));
  return Array.from({ length: count }, (_, i) => new Uint8Array(buffer, i * SEGMENT_BYTES, SEGMENT_BYTES));
}

function alignedMemory(bytes: number, shared: boolean): ArrayBuffer | SharedArrayBuffer | undefined {
  const { WebAssembly } = globalThis as { WebAssembly?: WebAssemblyLike };
  const pages = bytes / WASM_PAGE_BYTES;
  try {
    return WebAssembly && new WebAssembly.Memory({ initial: pages, maximum: pages, shared }).buffer;
  } catch {
    return undefined; // a limit of address space
  }
}
