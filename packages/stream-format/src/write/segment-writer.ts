import { Adler32 } from '../checks/adler32.ts';
import { type ChunkChecksums, ChunkHasher } from '../checks/chunk-checksums.ts';
import type { Sink } from '../source.ts';
import { plainMemory, SEGMENT_BYTES, segmentMemory } from './segment-memory.ts';

/** A smaller file is not worth memory of its own kind. */
const SMALL_BYTES = 8 << 20;
/** Of which both checksums are made at a time. */
const SUMS_BYTES = 256 << 10;
/** A room lies across two at most, and what follows it may be in a third. */
const FEWEST = 3;

export interface SegmentWriterOptions {
  /** Bytes of a chunk of the chunk checksums; 256 KiB by default. */
  readonly chunkSize?: number | undefined;
  /** Segments in memory at most; at least 3. */
  readonly segments: number;
  /** Bytes of the file, about. */
  readonly expected: number;
}

/** Where a payload goes. */
export interface PayloadPlace {
  /** One after the other. */
  readonly buffers: readonly Uint8Array[];
  /** Call once, when the payload is there. */
  filled(): void;
}

interface Segment {
  readonly memory: Uint8Array;
  /** Bytes that are given away. */
  used: number;
  /** Rooms in it that are not filled. */
  unfilled: number;
}

/**
 * Gathers what is written into segments of 1 MiB, which begin at multiples of that in the file, hands them to a sink, which may
 * write them while the next ones are being filled, and makes the checksums of the file. What is written is either copied, or put
 * by the caller into a room that was made for it.
 */
export class SegmentWriter {
  readonly #sink: Sink;
  readonly #adler32 = new Adler32();
  readonly #hasher: ChunkHasher;
  readonly #options: SegmentWriterOptions;
  readonly #underWay = new Set<Promise<void>>();
  /** Those that are not with the sink yet, in the order of the file; the last one is open while it has space. */
  readonly #segments: Segment[] = [];
  /** Free ones; undefined before the first is needed. */
  #memory: Uint8Array[] | undefined;
  #onFree: (() => void) | undefined;
  #size = 0;
  #failure: { readonly error: unknown } | undefined;

  constructor(sink: Sink, options: SegmentWriterOptions) {
    this.#sink = sink;
    this.#options = options;
    this.#hasher = new ChunkHasher(options.chunkSize);
  }

  /** Whether there are rooms that the caller has not filled. */
  get hasUnfilled(): boolean {
    return this.#segments.some(({ unfilled }) => unfilled > 0);
  }

  /** Bytes added, and rooms. */
  get size(): number {
    return this.#size;
  }

  /**
   * Copies the chunks, which may be used again once it resolves. One call at a time, of this and `room`.
   *
   * @throws what the sink rejected with
   */
  async add(chunks: readonly Uint8Array[]): Promise<void> {
    for (const chunk of chunks) {
      for (let done = 0; done < chunk.length; ) {
        const segment = this.#open() ?? (await this.#next());
        const space = SEGMENT_BYTES - segment.used;
        const part = done === 0 && chunk.length <= space ? chunk : chunk.subarray(done, done + space);
        segment.memory.set(part, segment.used);
        segment.used += part.length;
        done += part.length;
        if (segment.used === SEGMENT_BYTES) this.#sendReady();
      }
      this.#size += chunk.length;
    }
    this.#throwFailure();
  }

  /**
   * Makes room for the next bytes.
   *
   * @param length at most a segment's
   * @throws what the sink rejected with
   */
  async room(length: number): Promise<PayloadPlace> {
    const [buffers, segments]: [Uint8Array[], Segment[]] = [[], []];
    for (let done = 0; done < length; ) {
      const segment = this.#open() ?? (await this.#next());
      const end = Math.min(segment.used + length - done, SEGMENT_BYTES);
      buffers.push(segment.memory.subarray(segment.used, end));
      segments.push(segment);
      done += end - segment.used;
      segment.used = end;
      segment.unfilled++;
    }
    this.#size += length;
    this.#throwFailure();
    const filled = (): void => {
      for (const segment of segments) segment.unfilled--;
      this.#sendReady();
    };
    return { buffers, filled };
  }

  /**
   * Resolves when the sink has all. Call once, after the last byte, with no room left to be filled.
   *
   * @throws what the sink rejected with
   */
  async finish(frameTable: Uint8Array): Promise<{ adler32: number; chunks: ChunkChecksums }> {
    this.#sendReady(1);
    await Promise.all(this.#underWay);
    this.#throwFailure();
    return { adler32: this.#adler32.value, chunks: this.#hasher.finish(frameTable) };
  }

  /** Nothing more goes to the sink; calls that wait reject with the reason. */
  abandon(reason: unknown): void {
    this.#failure ??= { error: reason };
    this.#onFree?.();
  }

  #open(): Segment | undefined {
    const last = this.#segments.at(-1);
    return last !== undefined && last.used < SEGMENT_BYTES ? last : undefined;
  }

  async #next(): Promise<Segment> {
    this.#memory ??= this.#allocate();
    const free = this.#memory;
    let memory = free.pop();
    for (; memory === undefined; memory = free.pop()) {
      this.#throwFailure();
      await new Promise<void>((resolve) => {
        this.#onFree = resolve;
      });
    }
    const segment = { memory, used: 0, unfilled: 0 };
    this.#segments.push(segment);
    return segment;
  }

  #allocate(): Uint8Array[] {
    const { expected, segments } = this.#options;
    return expected < SMALL_BYTES ? plainMemory(FEWEST) : segmentMemory(Math.max(FEWEST, segments));
  }

  /** @param least bytes that a segment must have */
  #sendReady(least = SEGMENT_BYTES): void {
    if (this.#failure) return;
    for (let [first] = this.#segments; first !== undefined; [first] = this.#segments) {
      if (first.used < least || first.unfilled > 0) return;
      this.#segments.shift();
      this.#send(first);
    }
  }

  #send({ memory, used }: Segment): void {
    const bytes = memory.subarray(0, used);
    const done = this.#sink
      .write([bytes])
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .then(() => {
        this.#underWay.delete(done);
        this.#memory?.push(memory);
        this.#onFree?.();
      });
    this.#underWay.add(done);
    // Meanwhile, and both of a part at a time: it is in the processor's cache then.
    for (let at = 0; at < used; at += SUMS_BYTES) {
      const part = bytes.subarray(at, at + SUMS_BYTES);
      this.#hasher.update(part);
      this.#adler32.update(part);
    }
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error;
  }
}
