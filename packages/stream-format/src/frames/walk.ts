import type { RandomAccessSource } from '../source.ts';

/**
 * A parser that walks over bytes without holding them: it yields the range of the file that it needs next, in ascending
 * order, and is resumed with these bytes, or with undefined when the file ends before. So the same parser serves
 * a buffer, a file and a stream.
 */
export type Walk<T> = Generator<Want, T, Uint8Array | undefined>;

export interface Want {
  /** Offset in the file. */
  readonly at: number;
  /** Bytes. */
  readonly length: number;
}

/** Walks over bytes in memory, the first of which stands at `offset` of the file. */
export function walkBytes<T>(walk: Walk<T>, bytes: Uint8Array, offset: number): T {
  let step = walk.next();
  while (!step.done) {
    const from = step.value.at - offset;
    const to = from + step.value.length;
    step = walk.next(to <= bytes.length ? bytes.subarray(from, to) : undefined);
  }
  return step.value;
}

/** Walks over a file. `buffer` is scratch memory, and is used instead of a new one for every small read. */
export async function walkSource<T>(
  walk: Walk<T>,
  source: RandomAccessSource,
  buffer: Uint8Array = new Uint8Array(64),
): Promise<T> {
  let step = walk.next();
  while (!step.done) {
    const { at, length } = step.value;
    if (at + length > source.size) step = walk.next(undefined);
    else {
      const bytes = length <= buffer.length ? buffer.subarray(0, length) : new Uint8Array(length);
      await source.read(at, bytes);
      step = walk.next(bytes);
    }
  }
  return step.value;
}
