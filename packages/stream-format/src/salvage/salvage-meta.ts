import { StreamFormatError } from '../errors.ts';
import { CODECS } from '../frames/codec.ts';
import { FRAME_HEADER_BYTES, PAYLOAD_END } from '../frames/frame-header.ts';
import { decodeMeta, type StreamMeta } from '../frames/meta.ts';
import { walkSource } from '../frames/walk.ts';
import { MAX_META_BYTES, MAX_PIECE_BYTES } from '../limits.ts';
import { readMeta } from '../read/scan.ts';
import type { RandomAccessSource } from '../source.ts';
import { FrameProbe, headerShapes } from './found-frame.ts';

export interface SalvagedMeta {
  readonly meta: StreamMeta;
  readonly metaFrom: 'file' | 'given' | 'guessed';
  /** Where the first frame stands, when that is known. */
  readonly from: number | undefined;
}

/** Shapes of a first header that are looked at. */
const TRIES = 100;

/**
 * What the meta frame says, though it may be damaged: as it is; by its JSON between byte 40 and the first frame; as it
 * was given; or guessed from the first data frame.
 *
 * @throws StreamFormatError UNSUPPORTED for a version or a method that is not known
 */
export async function salvageMeta(
  source: RandomAccessSource,
  given: StreamMeta | undefined,
  signal: AbortSignal | undefined,
): Promise<SalvagedMeta> {
  try {
    const { meta, end } = await readMeta(source);
    return { meta, from: end, metaFrom: 'file' };
  } catch (error) {
    if (!(error instanceof StreamFormatError) || error.code === 'UNSUPPORTED') throw error;
  }
  const first = await firstFrame(source, signal);
  const json = first === undefined ? undefined : await readJson(source, first);
  // The last frame of the meta's payload ends two bytes before the first header: that place is certain.
  if (json !== undefined) return { meta: json, from: first, metaFrom: 'file' };
  if (given !== undefined) return { meta: given, from: first, metaFrom: 'given' };
  return { meta: await guess(source, signal), from: undefined, metaFrom: 'guessed' };
}

/** Offset of the first bytes of the shape of a header, if they stand where a meta frame can end. */
async function firstFrame(source: RandomAccessSource, signal: AbortSignal | undefined): Promise<number | undefined> {
  for await (const offset of headerShapes(source, FRAME_HEADER_BYTES, signal)) {
    return offset <= FRAME_HEADER_BYTES + MAX_META_BYTES + PAYLOAD_END.length ? offset : undefined;
  }
  return undefined;
}

async function readJson(source: RandomAccessSource, first: number): Promise<StreamMeta | undefined> {
  const length = first - PAYLOAD_END.length - FRAME_HEADER_BYTES;
  if (length <= 0) return undefined;
  const json = new Uint8Array(length);
  await source.read(FRAME_HEADER_BYTES, json);
  try {
    return decodeMeta(json);
  } catch (error) {
    if (error instanceof StreamFormatError && error.code !== 'UNSUPPORTED') return undefined;
    throw error;
  }
}

/** A meta frame that tells how payloads are compressed, and nothing else. */
async function guess(source: RandomAccessSource, signal: AbortSignal | undefined): Promise<StreamMeta> {
  const empty = { dataSize: 0, date: '', diskName: '', checkpointName: '', extra: {} } as const;
  const common = {
    ...empty,
    virtualSize: Number.MAX_SAFE_INTEGER,
    parentCheckpoint: false,
    incremental: true,
  } as const;
  const plain = new FrameProbe(source, undefined);
  let tries = 0;
  for await (const offset of headerShapes(source, 0, signal)) {
    if (++tries > TRIES) break;
    const frame = await plain.at(offset, { from: 0, to: Number.MAX_SAFE_INTEGER });
    if (frame?.kind !== 'data' && frame?.kind !== 'broken') continue;
    for (const codec of CODECS) {
      try {
        const remaining = Math.min(frame.length, MAX_PIECE_BYTES);
        await walkSource(codec.walk(offset + FRAME_HEADER_BYTES, remaining), source);
        const streamVersion = codec.method === 'zstd' ? 3 : 2;
        return { ...common, compressed: true, compressionMethod: codec.method, streamVersion };
      } catch (error) {
        if (!(error instanceof StreamFormatError)) throw error;
      }
    }
    break;
  }
  return { ...common, compressed: false, streamVersion: 2 };
}
