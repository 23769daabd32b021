/** Bytes of a page: what starts and ends at multiples of it can be written past the page cache. */
export const PAGE_BYTES = 4096;

const WASM_PAGE_BYTES = 65_536;

interface WebAssemblyLike {
  Memory: new (options: { initial: number }) => { buffer: ArrayBuffer };
}

/**
 * Memory that begins at the start of a page, as a file opened with `direct` wants it. Cut many buffers from one call: each
 * call takes address space besides, and the whole goes when the last part of it goes.
 *
 * Node cannot say where a Buffer lies; the memory of WebAssembly begins at a page. Where there is none
 * (`node --jitless`) the memory is a plain Buffer, and what is written from it goes through the page cache.
 */
export function alignedBuffer(bytes: number): Buffer {
  const { WebAssembly } = globalThis as { WebAssembly?: WebAssemblyLike };
  if (WebAssembly === undefined) return Buffer.alloc(bytes);
  const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / WASM_PAGE_BYTES) });
  return Buffer.from(memory.buffer, 0, bytes);
}
