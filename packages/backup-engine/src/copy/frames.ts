import type { ExtentKind, ExtentTable } from './extent-table.ts';

/**
 * The size that data frames are cut to, in bytes. At absolute multiples of it: random access finds a block in one
 * frame, and compression of neighbouring frames runs in parallel. A multiple of 64 KiB, as other readers of the
 * format need, and far below their 32 MiB.
 */
export const FRAME_SIZE = 1 << 20;

/** One frame to write: `length` guest bytes at `start`. */
export interface Frame {
  readonly start: number;
  readonly length: number;
  readonly kind: ExtentKind;
}

/** The frames of a stream file: zero runs whole, data runs cut at multiples of {@link FRAME_SIZE}. */
export function* frames(table: ExtentTable): Generator<Frame> {
  for (const run of table) {
    if (run.kind === 'zero') {
      yield run;
      continue;
    }
    const end = run.start + run.length;
    for (let start = run.start; start < end; ) {
      const next = Math.min(end, Math.floor(start / FRAME_SIZE) * FRAME_SIZE + FRAME_SIZE);
      yield { start, length: next - start, kind: 'data' };
      start = next;
    }
  }
}
