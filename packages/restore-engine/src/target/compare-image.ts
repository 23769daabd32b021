import { type NbdClient, STATE_ZERO } from '@virtnbd/nbd-client';
import { allEnded } from '../all-ended.ts';
import type { ContentExtent, DiskContent } from '../source/content.ts';

/** Bytes read of each side at a time. */
const PIECE = 1 << 20;
/** Differences are told apart in blocks of this size, in bytes: a cluster of most images. */
const GRAIN = 64 << 10;
/** Pieces under way at once: bounds the memory to twice as many MiB. */
const IN_FLIGHT = 4;

/** A range in which a target is not what the disk held. */
export interface Difference {
  /** Bytes from the start of the disk. */
  readonly start: number;
  readonly length: number;
  /** What should be there; null for zeroes. Valid until the callback has resolved. */
  readonly bytes: Uint8Array | null;
}

export interface CompareOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told the bytes of each piece that was compared; what both sides say is zero is not read. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
  readonly onDifference: (difference: Difference) => Promise<void>;
}

/**
 * Compares what a disk held with an NBD export that is at least as large, and tells every difference, in any order. The
 * export needs the context base:allocation for zeroes not to be read.
 *
 * @throws NbdError of the target; StreamFormatError for damage in the backup; `signal.reason`; what the callback throws
 */
export async function compareContent(content: DiskContent, client: NbdClient, options: CompareOptions): Promise<void> {
  const failure = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, failure.signal]) : failure.signal;
  const pieces = piecesOf(content, client, signal);
  const worker = async (): Promise<void> => {
    const [wanted, found] = [Buffer.allocUnsafeSlow(PIECE), Buffer.allocUnsafeSlow(PIECE)];
    for (let next = await pieces.next(); !next.done; next = await pieces.next()) {
      signal.throwIfAborted();
      await comparePiece(next.value, [wanted, found], content, client, { ...options, signal });
    }
  };
  const workers = Array.from({ length: IN_FLIGHT }, () => worker().catch((error: unknown) => failure.abort(error)));
  await Promise.all(workers);
  signal.throwIfAborted();
}

/** A range of which at least one side is not known to be zero. */
interface Piece {
  readonly start: number;
  readonly length: number;
  readonly wantedZero: boolean;
  readonly foundZero: boolean;
}

async function comparePiece(
  { start, length, wantedZero, foundZero }: Piece,
  [wantedBuffer, foundBuffer]: readonly [Buffer, Buffer],
  content: DiskContent,
  client: NbdClient,
  { signal, onBytes, onDifference }: CompareOptions,
): Promise<void> {
  const stop = signal ? { signal } : {};
  const wanted = wantedBuffer.subarray(0, length);
  const found = foundBuffer.subarray(0, length);
  const reads = [
    wantedZero ? wanted.fill(0) : content.read(start, wanted, stop),
    foundZero ? found.fill(0) : client.read(start, found, stop),
  ];
  await allEnded(reads);
  for (const [from, end] of differingParts(wanted, found)) {
    const bytes = wantedZero ? null : wanted.subarray(from, end);
    await onDifference({ start: start + from, length: end - from, bytes });
  }
  onBytes?.(length);
}

/** Runs of differing blocks, as offsets. */
function* differingParts(wanted: Buffer, found: Buffer): Generator<[number, number]> {
  let from = -1;
  for (let block = 0; block < wanted.length; block += GRAIN) {
    const end = Math.min(block + GRAIN, wanted.length);
    const same = wanted.compare(found, block, end, block, end) === 0;
    if (!same && from === -1) from = block;
    if (!same || from === -1) continue;
    yield [from, block];
    from = -1;
  }
  if (from !== -1) yield [from, wanted.length];
}

async function* piecesOf(content: DiskContent, client: NbdClient, signal: AbortSignal): AsyncGenerator<Piece> {
  const extents = content.extents()[Symbol.iterator]();
  let extent = nextExtent(extents);
  for await (const run of zeroRuns(client, content.size, signal)) {
    for (let start = run.start; start < run.start + run.length && extent !== null; ) {
      const end = Math.min(run.start + run.length, extent.start + extent.length, start + PIECE);
      const wantedZero = extent.kind === 'zero';
      // What is zero on both sides is passed over as a whole.
      if (wantedZero && run.zero) start = Math.min(run.start + run.length, extent.start + extent.length);
      else {
        yield { start, length: end - start, wantedZero, foundZero: run.zero };
        start = end;
      }
      if (start >= extent.start + extent.length) extent = nextExtent(extents);
    }
  }
}

function nextExtent(extents: Iterator<ContentExtent>): ContentExtent | null {
  const next = extents.next();
  return next.done === true ? null : next.value;
}

/** What the target says of its first `size` bytes. */
async function* zeroRuns(
  client: NbdClient,
  size: number,
  signal: AbortSignal,
): AsyncGenerator<{ start: number; length: number; zero: boolean }> {
  if (client.metaContexts.length === 0) return yield { start: 0, length: size, zero: false };
  for await (const runs of client.extents({ length: size, signal })) {
    for (const { start, length, flags } of runs) yield { start, length, zero: ((flags[0] ?? 0) & STATE_ZERO) !== 0 };
  }
}
