import { CheckedSource } from '../checks/checked-source.ts';
import { codecOf } from '../frames/codec.ts';
import { FRAME_HEADER_BYTES } from '../frames/frame-header.ts';
import { readFrameTable } from '../frames/frame-table.ts';
import type { RandomAccessSource } from '../source.ts';
import { readMeta, type ScannedStream, scanStream } from './scan.ts';

/** What a file holds: from the frame table of its checksums where there is one, else from its headers. */
export async function openStream(source: RandomAccessSource, signal?: AbortSignal): Promise<ScannedStream> {
  const table = source instanceof CheckedSource ? source.checksums.frameTable : undefined;
  if (table === undefined) return await scanStream(source, signal);
  signal?.throwIfAborted();
  return await openByTable(source, table, source.size);
}

/** What the frame table of a file says, with the meta frame of the file. `size` is that of the whole file. */
export async function openByTable(source: RandomAccessSource, table: Uint8Array, size: number): Promise<ScannedStream> {
  const { meta, end } = await readMeta(source);
  let codec = codecOf(meta);
  if (codec !== undefined && meta.compressed === 0 && (await endsWithStop(source))) codec = undefined;
  return { meta, codec, ...readFrameTable(table, { meta, codec, firstFrame: end, size }) };
}

async function endsWithStop(source: RandomAccessSource): Promise<boolean> {
  const end = new Uint8Array(4);
  await source.read(source.size - FRAME_HEADER_BYTES, end);
  return Buffer.from(end).toString('latin1') === 'stop';
}
