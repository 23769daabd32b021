import type { NbdClient } from '@virtnbd/nbd-client';
import { allEnded } from '../all-ended.ts';
import type { ContentExtent, DiskContent } from '../source/content.ts';
import { isZero } from './is-zero.ts';

/** Guest bytes of one batch: one large piece, or as many small ones as fit. */
const BATCH = 1 << 20;
/** Pieces of one batch; on a fragmented disk they are what is under way at once. */
const PIECES = 16;
/** Batches under way at once: bounds the memory of one disk's restore to as many MiB. */
const IN_FLIGHT = 8;

export interface WriteOptions {
  /** The target reads as zero where nothing was written. Otherwise zeroes are written, too. */
  readonly fresh: boolean;
  /** Bytes: only whole blocks of this size are written, each once. A power of two of at most 2 MiB; 1 when absent. */
  readonly align?: number;
  /** Only this part of the disk; all of it when absent. */
  readonly range?: { readonly start: number; readonly end: number };
  readonly signal?: AbortSignal | undefined;
  /** Told the data bytes of each piece written. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/**
 * Writes what a disk held to an NBD export, each byte once. Nothing is flushed.
 *
 * @throws NbdError of the target; StreamFormatError for damage in the backup; HostError; `signal.reason`
 */
export async function writeContent(content: DiskContent, client: NbdClient, options: WriteOptions): Promise<void> {
  const failure = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, failure.signal]) : failure.signal;
  const { start = 0, end = content.size } = options.range ?? {};
  const batches = batchesOf(cutTo(aligned(content.extents(), options.align ?? 1, content.size), start, end), options);
  const worker = async (): Promise<void> => {
    const buffer = Buffer.allocUnsafeSlow(Math.max(BATCH, options.align ?? 1));
    // Not for…of: a worker that leaves its loop would end the generator that all of them share.
    for (let next = batches.next(); !next.done; next = batches.next()) {
      signal.throwIfAborted();
      await writeBatch(next.value, buffer, content, client, { ...options, signal });
    }
  };
  const workers = Array.from({ length: IN_FLIGHT }, () => worker().catch((error: unknown) => failure.abort(error)));
  await Promise.all(workers);
  signal.throwIfAborted();
}

async function writeBatch(
  batch: readonly ContentExtent[],
  buffer: Buffer,
  content: DiskContent,
  client: NbdClient,
  { fresh, signal, onBytes }: WriteOptions,
): Promise<void> {
  const stop = signal ? { signal } : {};
  let used = 0;
  const writes = batch.map(async ({ start, length, kind }) => {
    if (kind === 'zero') return await client.writeZeroes(start, length, stop);
    const piece = buffer.subarray(used, used + length);
    used += length;
    await content.read(start, piece, stop);
    const zero = content.sparseUnknown && isZero(piece);
    if (!zero) await client.write(start, piece, stop);
    else if (!fresh) await client.writeZeroes(start, length, stop);
    onBytes?.(length);
  });
  await allEnded(writes);
}

/** The extents with borders at multiples of `align`: a block that holds any data is data. */
function* aligned(extents: Iterable<ContentExtent>, align: number, size: number): Generator<ContentExtent> {
  if (align === 1) return yield* extents;
  let done = 0;
  for (const { start, length, kind } of extents) {
    if (kind === 'zero') continue;
    const from = Math.max(done, start - (start % align));
    const end = Math.min(size, Math.ceil((start + length) / align) * align);
    if (end <= from) continue;
    if (from > done) yield { start: done, length: from - done, kind: 'zero' };
    yield { start: from, length: end - from, kind: 'data' };
    done = end;
  }
  if (size > done) yield { start: done, length: size - done, kind: 'zero' };
}

function* cutTo(extents: Iterable<ContentExtent>, start: number, end: number): Generator<ContentExtent> {
  for (const extent of extents) {
    const from = Math.max(extent.start, start);
    const length = Math.min(extent.start + extent.length, end) - from;
    if (length > 0) yield { start: from, length, kind: extent.kind };
  }
}

/** The extents that are to be written, cut and gathered into batches whose data fills at most one buffer. */
function* batchesOf(
  extents: Iterable<ContentExtent>,
  { fresh, align = 1 }: WriteOptions,
): Generator<readonly ContentExtent[]> {
  const most = Math.max(BATCH, align);
  let batch: ContentExtent[] = [];
  let bytes = 0;
  for (const { start, length, kind } of extents) {
    if (kind === 'zero' && fresh) continue;
    for (let done = 0; done < length; ) {
      const part = kind === 'zero' ? length : Math.min(most - bytes, length - done);
      batch.push({ start: start + done, length: part, kind });
      done += part;
      if (kind === 'data') bytes += part;
      if (bytes < most && batch.length < PIECES) continue;
      yield batch;
      batch = [];
      bytes = 0;
    }
  }
  if (batch.length > 0) yield batch;
}
