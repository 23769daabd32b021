import { NbdError } from './errors.ts';
import type { Extents } from './operation.ts';

/** A run of bytes whose status is the same in every context that was asked for. */
export interface ExtentRun {
  /** Bytes into the export. */
  start: number;
  /** Bytes, never 0. */
  length: number;
  /** One per context, in the order of `contexts`; of 64 bits with extended headers, exact up to 2^53 - 1. */
  flags: readonly number[];
}

/** One block-status request. @returns length and flags by turns, for each context id */
export type StatusQuery = (
  offset: number,
  length: number,
  signal: AbortSignal,
) => Promise<ReadonlyMap<number, Extents>>;

/** What is asked for: [start, end) in bytes, within the export. */
export interface ExtentRange {
  start: number;
  end: number;
}

/** The longest compact request: 32 bits of length, cut to a multiple of every minimum block size. */
export const MAX_COMPACT_STATUS = 2 ** 32 - 65_536;
const NOTHING = new Uint32Array(0);
/** Runs in one batch. */
const BATCH = 4096;

/**
 * Walks a range by block-status requests. A reply's length is only a hint: the walk goes on from the end of the context
 * that reached least far, and cuts all of them to common borders. The next request is on its way while the consumer
 * works on the last reply.
 */
export async function* walkExtents(
  query: StatusQuery,
  ids: readonly number[],
  range: ExtentRange,
  block: { minimum: number; size: number; longest: number; signal: AbortSignal | undefined },
): AsyncGenerator<ExtentRun[], void, void> {
  const stop = new AbortController();
  const signal = block.signal === undefined ? stop.signal : AbortSignal.any([block.signal, stop.signal]);
  const merger = new RunMerger(range);
  const ask = (position: number) => {
    const start = position - (position % block.minimum);
    const end = Math.min(Math.ceil(range.end / block.minimum) * block.minimum, block.size);
    const status = query(start, Math.min(end - start, block.longest), signal).then((map) => ({ start, map }));
    // It is awaited in the next round, which a consumer that stops early never begins.
    status.catch(() => {});
    return status;
  };
  try {
    let next: ReturnType<typeof ask> | undefined = range.start < range.end ? ask(range.start) : undefined;
    while (next !== undefined) {
      const { start, map } = await next;
      const replies = ids.map((id) => map.get(id) ?? NOTHING);
      const reached = start + Math.min(...replies.map(totalLength));
      // With a minimum block size the request began before the position; a reply must get past it all the same.
      if (reached <= merger.position) {
        throw new NbdError('PROTOCOL', `the NBD server's block status at ${start} does not get on`, { offset: start });
      }
      next = reached < range.end ? ask(reached) : undefined;
      for (const batch of merger.add(start, reached, replies)) yield batch;
    }
    yield* merger.flush();
  } finally {
    // A consumer that stops early leaves a request behind.
    stop.abort();
  }
}

function totalLength(extents: Extents): number {
  let total = 0;
  for (let i = 0; i < extents.length; i += 2) total += extents[i] ?? 0;
  return total;
}

/** Cuts the contexts' extents to common borders, and joins equal neighbours across replies. */
class RunMerger {
  readonly #end: number;
  /** How far the runs reach. */
  position: number;
  #open: ExtentRun | undefined;
  #batch: ExtentRun[] = [];

  constructor(range: ExtentRange) {
    this.position = range.start;
    this.#end = range.end;
  }

  /** Takes one reply's extents from `start` up to `reached`, as far as they lie in the range and are new. */
  *add(start: number, reached: number, replies: readonly Extents[]): Generator<ExtentRun[], void, void> {
    const limit = Math.min(reached, this.#end);
    const cursors = replies.map((extents) => new ExtentCursor(extents, start));
    while (this.position < limit) {
      let border = limit;
      const flags: number[] = [];
      for (const cursor of cursors) {
        cursor.seek(this.position);
        flags.push(cursor.flags);
        if (cursor.end < border) border = cursor.end;
      }
      this.#push(border, flags);
      if (this.#batch.length >= BATCH) yield this.#takeBatch();
    }
  }

  /** The last run, which no later one can join. */
  *flush(): Generator<ExtentRun[], void, void> {
    if (this.#open !== undefined) this.#batch.push(this.#open);
    this.#open = undefined;
    if (this.#batch.length > 0) yield this.#takeBatch();
  }

  #push(border: number, flags: readonly number[]): void {
    const open = this.#open;
    const length = border - this.position;
    if (open !== undefined && flags.every((flag, i) => flag === open.flags[i])) {
      open.length += length;
    } else {
      if (open !== undefined) this.#batch.push(open);
      this.#open = { start: this.position, length, flags };
    }
    this.position = border;
  }

  #takeBatch(): ExtentRun[] {
    const batch = this.#batch;
    this.#batch = [];
    return batch;
  }
}

/** A position in one context's extents. */
class ExtentCursor {
  readonly #extents: Extents;
  #index = 0;
  /** Where the current extent ends, bytes into the export. */
  end: number;

  constructor(extents: Extents, start: number) {
    this.#extents = extents;
    this.end = start + (extents[0] ?? 0);
  }

  get flags(): number {
    return this.#extents[this.#index + 1] ?? 0;
  }

  /** Goes on to the extent that holds the position. */
  seek(position: number): void {
    while (this.end <= position && this.#index + 2 < this.#extents.length) {
      this.#index += 2;
      this.end += this.#extents[this.#index] ?? 0;
    }
  }
}
