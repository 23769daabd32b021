import { Adler32 } from '../checks/adler32.ts';
import { type ChunkChecksums, ChunkHasher } from '../checks/chunk-checksums.ts';
import type { Sink } from '../source.ts';

/** Frames that wait are handed to the sink together, up to these; Linux takes 1024 chunks at once. */
const BATCH_BYTES = 1024 * 1024;
const BATCH_CHUNKS = 256;

interface QueuedFrame {
  readonly chunks: Promise<readonly Uint8Array[]>;
  readonly onTurn: (chunks: readonly Uint8Array[]) => void;
  readonly done: PromiseWithResolvers<void>;
}

/**
 * Hands frames to a sink in the order of the calls, one write at a time, and makes the checksums of what is written. After a
 * failure nothing more is written.
 */
export class FrameQueue {
  readonly #sink: Sink;
  readonly #adler32 = new Adler32();
  readonly #hasher: ChunkHasher;
  readonly #queue: QueuedFrame[] = [];
  #failure: unknown;
  #writing = false;
  #size = 0;

  /** @param chunkSize of the chunk checksums */
  constructor(sink: Sink, chunkSize?: number) {
    this.#sink = sink;
    this.#hasher = new ChunkHasher(chunkSize);
  }

  /** Bytes handed to the sink. */
  get size(): number {
    return this.#size;
  }

  get adler32(): number {
    return this.#adler32.value;
  }

  get failure(): unknown {
    return this.#failure;
  }

  /** Keeps the first failure and returns it. */
  fail(error: unknown): unknown {
    this.#failure ??= error;
    return this.#failure;
  }

  /** Call once, after the last frame. */
  checksums(frameTable: Uint8Array): ChunkChecksums {
    return this.#hasher.finish(frameTable);
  }

  /**
   * Writes a frame after all before it. Resolves when the sink has taken it.
   *
   * @param onTurn called with its chunks, in the order of the frames
   */
  push(
    chunks: readonly Uint8Array[] | Promise<readonly Uint8Array[]>,
    onTurn: (chunks: readonly Uint8Array[]) => void = () => undefined,
  ): Promise<void> {
    const done = Promise.withResolvers<void>();
    const promised = Promise.resolve(chunks);
    promised.catch(() => undefined); // it is awaited when its turn comes
    this.#queue.push({ chunks: promised, onTurn, done });
    if (!this.#writing) void this.#drain();
    return done.promise;
  }

  /** Writes queued frames until none is left. There is one such loop at a time, so frames keep their order. */
  async #drain(): Promise<void> {
    this.#writing = true;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      const batch = [next];
      try {
        if (this.#failure !== undefined) throw this.#failure;
        await this.#write(await this.#gather(batch));
        for (const frame of batch) frame.done.resolve();
      } catch (error) {
        this.fail(error);
        for (const frame of batch) frame.done.reject(this.#failure);
      }
    }
    this.#writing = false;
  }

  /** The chunks of the first frame of the batch, and of those after it that are ready by then. */
  async #gather(batch: QueuedFrame[]): Promise<Uint8Array[]> {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    const add = (frame: QueuedFrame, ready: readonly Uint8Array[]) => {
      chunks.push(...ready);
      for (const chunk of ready) bytes += chunk.length;
      frame.onTurn(ready);
    };
    for (const frame of batch) add(frame, await frame.chunks);
    while (bytes < BATCH_BYTES && chunks.length < BATCH_CHUNKS) {
      const frame = this.#queue[0];
      const ready = frame && (await Promise.race([frame.chunks, NOT_READY]));
      if (frame === undefined || ready === undefined) break;
      this.#queue.shift();
      batch.push(frame);
      add(frame, ready);
    }
    return chunks;
  }

  async #write(chunks: readonly Uint8Array[]): Promise<void> {
    const written = this.#sink.write(chunks);
    // The checksums are made while the sink is at work.
    for (const chunk of chunks) {
      this.#adler32.update(chunk);
      this.#hasher.update(chunk);
      this.#size += chunk.length;
    }
    await written;
  }
}

const NOT_READY = Promise.resolve(undefined);
