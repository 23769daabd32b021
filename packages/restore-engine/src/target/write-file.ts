import { EarlySync, type HostFile } from '@virtnbd/host';
import type { ImagePiece } from '@virtnbd/qcow2-writer';
import type { ContentExtent, DiskContent } from '../source/content.ts';
import type { FileLayout } from './file-layout.ts';
import { FileWindows } from './file-windows.ts';
import { isZero } from './is-zero.ts';
import { writing } from './write-errors.ts';

/** Bytes of the disk that are placed at a time, and in which what holds nothing is looked for: whole units of every layout. */
const CHUNK = 2 << 20;
/** Bytes that are told as done at a time. */
const STEP = 1 << 20;
/** Chunks being read while one is looked at. */
const AHEAD = 4;

export interface WriteFileOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told the data bytes that were written. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/**
 * Writes what a disk held to a new file, each byte once and in the order of the file. It is on stable storage when this
 * resolves.
 *
 * @param file holds nothing yet that the layout places
 * @throws RestoreError NO_SPACE, WRITE_FAILED; StreamFormatError for damage in the backup; HostError of the backup; `signal.reason`
 */
export async function writeFile(
  content: DiskContent,
  file: HostFile,
  layout: FileLayout,
  { signal, onBytes }: WriteFileOptions = {},
): Promise<void> {
  await using sync = new EarlySync([file]);
  await using windows = new FileWindows(content, file, { signal, onBytes, onWritten: (bytes) => sync.written(bytes) });
  if (content.sparseUnknown) await placeWhatIsFound(content, layout, windows, signal);
  else await placeExtents(content, layout, windows);
  for (const piece of layout.finish()) await add(piece, windows);
  await windows.finish();
  await writing(file.path, async () => {
    // The last page was written whole.
    await file.truncate(layout.fileBytes);
    if (layout.head.length > 0) await file.writeAt(0, layout.head);
    await sync.finish();
  });
}

async function add(piece: ImagePiece, windows: FileWindows): Promise<void> {
  if (piece.kind === 'table') await windows.copy(piece.offset, piece.bytes);
  else await windows.read(piece.offset, piece.start, piece.length);
}

/** What holds data is known: places are given before anything is read. */
async function placeExtents(content: DiskContent, layout: FileLayout, windows: FileWindows): Promise<void> {
  for (const { start, length } of dataOf(content.extents(), STEP)) {
    for (const piece of layout.place(start, length)) await add(piece, windows);
    windows.credit(length);
  }
}

/** What holds data is seen when it is read: places are given after that, and units of zeroes get none. */
async function placeWhatIsFound(
  content: DiskContent,
  layout: FileLayout,
  windows: FileWindows,
  signal: AbortSignal | undefined,
): Promise<void> {
  const chunks = readAhead(content, signal);
  for await (const { chunk, bytes } of chunks) {
    const { start, length, dataBytes } = chunk;
    for (const [from, end] of unitsWithData(bytes.subarray(0, length), layout.unit)) {
      for (const piece of layout.place(start + from, end - from)) {
        if (piece.kind === 'table') await windows.copy(piece.offset, piece.bytes);
        else await windows.copy(piece.offset, bytes.subarray(piece.start - start, piece.start - start + piece.length));
      }
    }
    windows.credit(dataBytes);
  }
}

/** A stretch of the disk that starts at a multiple of CHUNK, and ends at one or with the disk. */
interface Chunk {
  readonly start: number;
  readonly length: number;
  dataBytes: number;
}

/**
 * Reads all chunks that may hold data, in order. Their bytes, of a whole CHUNK with zeroes past the disk's end, are good
 * until the next one is asked for.
 */
async function* readAhead(
  content: DiskContent,
  signal: AbortSignal | undefined,
): AsyncGenerator<{ chunk: Chunk; bytes: Buffer }> {
  const chunks = chunksOf(content.extents(), content.size);
  const buffers: Buffer[] = Array.from({ length: AHEAD }, () => Buffer.allocUnsafeSlow(CHUNK));
  const reads: { chunk: Chunk; buffer: Buffer; done: Promise<void> }[] = [];
  try {
    for (;;) {
      for (let buffer = buffers.pop(); buffer !== undefined; buffer = buffers.pop()) {
        const next = chunks.next();
        if (next.done === true) break;
        const done = content.read(next.value.start, buffer.subarray(0, next.value.length), signal ? { signal } : {});
        done.catch(() => undefined);
        reads.push({ chunk: next.value, buffer, done });
      }
      const first = reads.shift();
      if (first === undefined) return;
      await first.done;
      const { chunk, buffer } = first;
      yield { chunk, bytes: buffer.fill(0, chunk.length) };
      buffers.push(buffer);
    }
  } finally {
    // What was read ahead is not waited for by anybody else.
    await Promise.allSettled(reads.map(({ done }) => done));
  }
}

function* chunksOf(extents: Iterable<ContentExtent>, size: number): Generator<Chunk, void, undefined> {
  let chunk: Chunk | undefined;
  for (const { start, length } of dataOf(extents, CHUNK)) {
    const from = start - (start % CHUNK);
    if (chunk !== undefined && chunk.start !== from) yield chunk;
    if (chunk?.start !== from) chunk = { start: from, length: Math.min(CHUNK, size - from), dataBytes: 0 };
    chunk.dataBytes += length;
  }
  if (chunk !== undefined) yield chunk;
}

/** The extents of data, cut at multiples of `step`. */
function* dataOf(extents: Iterable<ContentExtent>, step: number): Generator<{ start: number; length: number }> {
  for (const { start, length, kind } of extents) {
    if (kind !== 'data') continue;
    for (let at = start, end = start + length; at < end; ) {
      const next = Math.min(end, at - (at % step) + step);
      yield { start: at, length: next - at };
      at = next;
    }
  }
}

/** Runs of units that do not only hold zeroes, as offsets. */
function* unitsWithData(bytes: Buffer, unit: number): Generator<[number, number]> {
  let from = -1;
  for (let at = 0; at < bytes.length; at += unit) {
    const zero = isZero(bytes.subarray(at, at + unit));
    if (!zero && from === -1) from = at;
    if (!zero || from === -1) continue;
    yield [from, at];
    from = -1;
  }
  if (from !== -1) yield [from, bytes.length];
}
