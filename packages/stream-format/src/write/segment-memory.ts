/** Bytes of a segment: what a sink is given at a time. */
export const SEGMENT_BYTES = 1 << 20;
const WASM_PAGE_BYTES = 65_536;

interface WebAssemblyLike {
  Memory: new (options: { initial: number }) => { readonly buffer: ArrayBuffer };
}

/**
 * Memory for so many segments, each at the start of a page, so that a sink can write it past the page cache. WebAssembly has
 * such memory; where it has none, plain buffers do.
 */
export function segmentMemory(count: number): Uint8Array[] {
  const { WebAssembly } = globalThis as { WebAssembly?: WebAssemblyLike };
  try {
    if (WebAssembly === undefined) return plainMemory(count);
    const { buffer } = new WebAssembly.Memory({ initial: (count * SEGMENT_BYTES) / WASM_PAGE_BYTES });
    return Array.from({ length: count }, (_, i) => new Uint8Array(buffer, i * SEGMENT_BYTES, SEGMENT_BYTES));
  } catch {
    return plainMemory(count); // a limit of address space
  }
}

/** As segmentMemory, of ordinary buffers. */
export function plainMemory(count: number): Uint8Array[] {
  return Array.from({ length: count }, () => new Uint8Array(SEGMENT_BYTES));
}
