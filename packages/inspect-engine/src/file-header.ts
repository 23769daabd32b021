import type { RandomAccessSource, StreamMeta } from '@virtnbd/stream-format';

/** What the first frame of a stream file says. Keys without a usable value are null. */
export interface HeaderDescription {
  streamVersion: number | null;
  disk: string | null;
  /** Bytes. */
  virtualSize: number | null;
  /** Bytes that the data frames are to hold. */
  dataSize: number | null;
  format: string | null;
  date: string | null;
  checkpoint: string | null;
  parent: string | null;
  incremental: boolean | null;
  /** null when the data is not compressed. */
  compression: string | null;
  compressionLevel: number | null;
  /** `NAME VERSION` of the program that wrote the file, when it says so. */
  writer: string | null;
}

export function describeMeta(meta: StreamMeta, compressed: boolean): HeaderDescription {
  return {
    streamVersion: meta.streamVersion,
    disk: meta.diskName,
    virtualSize: meta.virtualSize,
    dataSize: meta.dataSize,
    format: meta.diskFormat ?? null,
    date: meta.date,
    checkpoint: meta.checkpointName,
    parent: meta.parentCheckpoint === false || meta.parentCheckpoint === '' ? null : meta.parentCheckpoint,
    incremental: meta.incremental,
    compression: compressed ? (meta.compressionMethod ?? 'lz4') : null,
    compressionLevel: compressed && typeof meta.compressed === 'number' ? meta.compressed : null,
    writer: meta.writer === undefined ? null : `${meta.writer.name} ${meta.writer.version}`,
  };
}

const HEADER_BYTES = 40;
const META_LIMIT = 1024 * 1024;

/**
 * Bytes of the meta frame with its header and line break; null when the file does not begin with one. A raw image does
 * not, and neither does a stream file whose first bytes are damaged.
 */
export async function metaFrameBytes(source: RandomAccessSource): Promise<number | null> {
  if (source.size < HEADER_BYTES) return null;
  const head = new Uint8Array(HEADER_BYTES);
  await source.read(0, head);
  const match = /^meta 0{16} ([0-9a-f]{16})\r\n$/.exec(Buffer.from(head).toString('latin1'));
  const length = Number.parseInt(match?.[1] ?? '', 16);
  return length <= META_LIMIT ? HEADER_BYTES + length + 2 : null;
}

/**
 * What can be read of the header of a damaged or unfinished file. Nothing vouches for it.
 *
 * @param frameBytes as `metaFrameBytes` says
 */
export async function salvageHeader(source: RandomAccessSource, frameBytes: number): Promise<HeaderDescription | null> {
  if (frameBytes > source.size) return null;
  const json = new Uint8Array(frameBytes - HEADER_BYTES - 2);
  await source.read(HEADER_BYTES, json);
  let meta: unknown;
  try {
    meta = JSON.parse(Buffer.from(json).toString('utf8'));
  } catch {
    return null;
  }
  if (typeof meta !== 'object' || meta === null || Array.isArray(meta)) return null;
  const values = new Map<string, unknown>(Object.entries(meta));
  const text = (key: string): string | null => textOf(values.get(key));
  const count = (key: string): number | null => countOf(values.get(key));
  const compressed = values.get('compressed');
  const incremental = values.get('incremental');
  return {
    streamVersion: count('streamVersion') ?? count('stream-version'),
    disk: text('diskName'),
    virtualSize: count('virtualSize'),
    dataSize: count('dataSize'),
    format: text('diskFormat'),
    date: text('date'),
    checkpoint: text('checkpointName'),
    parent: text('parentCheckpoint'),
    incremental: typeof incremental === 'boolean' ? incremental : null,
    compression: compressed === undefined || compressed === false ? null : (text('compressionMethod') ?? 'lz4'),
    compressionLevel: countOf(compressed),
    writer: null,
  };
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' && value.length <= 1024 ? value : null;
}

function countOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
}
