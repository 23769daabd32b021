import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { type SegmentSums, segmentSums } from './segment-sums.ts';
import type { SumsReply, SumsRequest } from './sums-worker.ts';

// Run from the sources (tests), the thread is sums-worker.ts; built, it is sums-worker.js beside this code.
const WORKER_FILE = new URL(import.meta.url.endsWith('.ts') ? './sums-worker.ts' : './sums-worker.js', import.meta.url);

let shared: SumsThread | null | undefined;

/** The process's thread for checksums, started by the first call; null where there is no second processor for it, or no thread. */
export function sumsThread(): SumsThread | null {
  if (shared === undefined) shared = availableParallelism() > 1 ? start() : null;
  return shared;
}

function start(): SumsThread | null {
  try {
    return new SumsThread();
  } catch {
    return null; // a limit of threads or memory
  }
}

interface Asked {
  readonly bytes: Uint8Array;
  readonly chunkSize: number;
  readonly resolve: (sums: SegmentSums) => void;
}

/**
 * Makes checksums beside the main thread, one request after the other. It keeps the process alive while a request is pending,
 * and not otherwise. Should the thread end, all goes on without it.
 */
class SumsThread {
  readonly #asked = new Map<number, Asked>();
  #worker: Worker | undefined;
  #lastId = 0;

  constructor() {
    this.#worker = new Worker(WORKER_FILE, { name: 'checksums', execArgv: [] });
    this.#worker.unref();
    this.#worker.on('message', ({ id, sums }: SumsReply) => this.#settle(id, sums));
    // An error comes before the exit that follows it, and tells nothing that could be mended here.
    this.#worker.on('error', () => undefined);
    this.#worker.on('exit', () => this.#goOnWithout());
  }

  /** @param bytes of shared memory; they must not change before the promise resolves */
  sums(bytes: Uint8Array, chunkSize: number): Promise<SegmentSums> {
    const worker = this.#worker;
    if (worker === undefined) return Promise.resolve(segmentSums(bytes, chunkSize));
    return new Promise((resolve) => {
      const request: SumsRequest = { id: ++this.#lastId, bytes, chunkSize };
      this.#asked.set(request.id, { bytes, chunkSize, resolve });
      worker.ref();
      worker.postMessage(request);
    });
  }

  #settle(id: number, sums: SegmentSums): void {
    this.#asked.get(id)?.resolve(sums);
    this.#asked.delete(id);
    if (this.#asked.size === 0) this.#worker?.unref();
  }

  #goOnWithout(): void {
    this.#worker = undefined;
    for (const [id, { bytes, chunkSize }] of this.#asked) this.#settle(id, segmentSums(bytes, chunkSize));
  }
}
