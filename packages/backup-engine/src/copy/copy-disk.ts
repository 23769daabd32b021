import type { PayloadPlace } from '@virtnbd/stream-format';
import { BufferPool } from './buffer-pool.ts';
import type { ExtentTable } from './extent-table.ts';
import { FRAME_SIZE, type Frame, frames } from './frames.ts';

/** Buffers of {@link FRAME_SIZE} for all disks together: reads in flight, frames in compression, frames to write. */
const BUFFERS = 48;
const MOST_BUFFERS = 12;
const LEAST_BUFFERS = 3;
/** Smaller payloads are copied sooner than put into place one by one, in bytes. */
const LEAST_PLACED = 32 << 10;
/**
 * So many larger ones in a row are worth the wait for the reads before them, whose lengths in the file may not be known before:
 * where they alternate with small ones each would be waited for.
 */
const PLACED_IN_A_ROW = 8;
/** Zero frames that may wait for their turn. */
const ZEROES_QUEUED = 1024;

/** The share of one of `disks` disks that are copied at the same time. */
export function buffersFor(disks: number): number {
  return Math.max(LEAST_BUFFERS, Math.min(MOST_BUFFERS, Math.floor(BUFFERS / disks)));
}

/** What the copy reads from: an NBD client, or anything that fills a buffer with guest bytes. */
export interface BlockReader {
  read(offset: number, buffer: Uint8Array, options?: BlockReadOptions): Promise<void>;
  /** As `read`, into several buffers, one after the other. */
  readInto?(offset: number, buffers: readonly Uint8Array[], options?: BlockReadOptions): Promise<void>;
}

interface BlockReadOptions {
  readonly signal?: AbortSignal;
  /** After a failure the buffers may still be written to, until the reader is destroyed. */
  readonly inPlace?: boolean;
}

/** What the copy writes to: a `StreamWriter`. Calls may overlap and take effect in their order. */
export interface FrameWriter {
  data(start: number, payload: Uint8Array): Promise<void>;
  /** Where a payload may be put that then needs no `data`; null where neither this one nor any other of its size has a place. */
  place?(start: number, length: number): Promise<PayloadPlace | null>;
  /** Nothing more will come, and no place be filled: what waits for that is to reject. */
  abandon?(reason: unknown): void;
  zero(start: number, length: number): Promise<void>;
}

/**
 * Copies the runs of `table` from `reader` into `writer`: several reads in flight, frames handed over in ascending
 * order, each block read once, at most `options.buffers` MiB of them in memory.
 *
 * The first failure, of a read, of the writer or of the signal, ends the copy, and with it the writer; what a read still
 * puts into a place is of no consequence then.
 */
export async function copyDisk(
  reader: BlockReader,
  writer: FrameWriter,
  table: ExtentTable,
  options: { signal?: AbortSignal; onBytes?: (bytes: number) => void; buffers?: number } = {},
): Promise<void> {
  const failure = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, failure.signal]) : failure.signal;
  const pool = new BufferPool(options.buffers ?? MOST_BUFFERS, FRAME_SIZE);
  const pending = new Set<Promise<void>>();
  let order: Promise<void> = Promise.resolve();
  let zeroes = 0;
  /** Until the writer had none. */
  let places = true;
  /** Frames in a row that are large enough for a place; at the beginning there is none to wait for. */
  let row = PLACED_IN_A_ROW;

  const track = (work: Promise<void>): void => {
    const settled = work
      .catch((error: unknown) => failure.abort(error))
      .finally(() => {
        pending.delete(settled);
      });
    pending.add(settled);
  };

  /** Has a frame read to where it belongs in the file; false where that cannot be. */
  const toItsPlace = async ({ start, length }: Frame): Promise<boolean> => {
    row = length < LEAST_PLACED ? 0 : row + 1;
    if (!places || row < PLACED_IN_A_ROW || reader.readInto === undefined || writer.place === undefined) return false;
    await order;
    const place = await writer.place(start, length);
    places = place !== null;
    if (place === null) return false;
    const reading = reader.readInto(start, place.buffers, { signal, inPlace: true }).then(() => {
      place.filled();
      options.onBytes?.(length);
    });
    track(reading);
    return true;
  };

  signal.addEventListener('abort', () => writer.abandon?.(signal.reason), { once: true });
  try {
    for (const frame of frames(table)) {
      signal.throwIfAborted();
      if (frame.kind === 'zero') {
        order = order.then(() => track(writer.zero(frame.start, frame.length)));
        // Zero frames take no buffer, which would hold a long row of them back.
        zeroes += 1;
        if (zeroes % ZEROES_QUEUED === 0) await order;
        continue;
      }
      if (await toItsPlace(frame)) continue;
      const { bytes: payload, release } = await pool.acquire(frame.length, signal);
      const reading = reader.read(frame.start, payload, { signal, inPlace: true });
      // The next frame may be handed over as soon as this one was: writer.data keeps the order of its calls.
      const handOver = order.then(async () => {
        await reading;
        const writing = writer.data(frame.start, payload).then(() => {
          release();
          options.onBytes?.(frame.length);
        });
        track(writing);
      });
      reading.catch(() => undefined);
      order = handOver.catch((error: unknown) => failure.abort(error));
    }
    await order;
    while (pending.size > 0) await Promise.all(pending);
    signal.throwIfAborted();
  } catch (error) {
    failure.abort(error);
    await order;
    while (pending.size > 0) await Promise.all(pending);
    throw signal.reason;
  }
}
