import { STATE_HOLE, STATE_ZERO } from '@virtnbd/nbd-protocol';
import type { BlockSource, SourceExtent } from './block-source.ts';
import { NbdServerError } from './errors.ts';

/** Extents in one reply: more are asked for by another request. Bounds memory, and the time that one client takes. */
export const MAX_EXTENTS = 32 * 1024;

/** A range of a source, bytes. */
export interface Range {
  readonly offset: number;
  readonly length: number;
}

/**
 * Block status of a range (proto.md, "`base:allocation` metadata context"): length and flags by turns, from the range's
 * start, cut to the range, neighbours joined; at most so many extents.
 *
 * @throws NbdServerError `SOURCE` for extents with a gap or an end before the range's
 */
export async function allocation(
  source: BlockSource,
  range: Range,
  limit: number,
  signal: AbortSignal,
): Promise<number[]> {
  const extents = source.extents?.(range.offset, range.length, { signal });
  if (extents === undefined) throw new NbdServerError('SOURCE', 'the source has no extents');
  const status = new StatusBuilder(range, limit);
  // Not `for await` for both: a turn of the event loop for each of a million extents would be slow.
  if (Symbol.iterator in extents) {
    for (const extent of extents) if (status.add(extent)) break;
  } else {
    for await (const extent of extents) if (status.add(extent)) break;
  }
  return status.finish();
}

class StatusBuilder {
  readonly #end: number;
  readonly #limit: number;
  readonly #list: number[] = [];
  #position: number;

  constructor({ offset, length }: Range, limit: number) {
    this.#position = offset;
    this.#end = offset + length;
    this.#limit = limit;
  }

  /** @returns whether that is enough */
  add({ start, length, kind }: SourceExtent): boolean {
    const end = start + length;
    if (start > this.#position || !(length > 0)) {
      throw new NbdServerError('SOURCE', `extents of the source: ${start}+${length} at ${this.#position}`);
    }
    const bytes = Math.min(end, this.#end) - this.#position;
    if (bytes <= 0) return false;
    const flags = kind === 'zero' ? STATE_HOLE | STATE_ZERO : 0;
    const last = this.#list.length - 1;
    if (last > 0 && this.#list[last] === flags) {
      this.#list[last - 1] = (this.#list[last - 1] ?? 0) + bytes;
    } else {
      if (this.#list.length >= 2 * this.#limit) return true;
      this.#list.push(bytes, flags);
    }
    this.#position += bytes;
    return this.#position === this.#end;
  }

  finish(): number[] {
    const full = this.#list.length >= 2 * this.#limit;
    if (this.#position < this.#end && !full) {
      throw new NbdServerError('SOURCE', `extents of the source end at ${this.#position}, before ${this.#end}`);
    }
    return this.#list;
  }
}
