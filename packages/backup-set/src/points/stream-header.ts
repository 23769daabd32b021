import type { RandomAccessSource } from '@virtnbd/stream-format';

/** What the first frame of a stream file says, as far as restore points are made of it. */
export interface StreamHeader {
  disk: string;
  /** Bytes. */
  virtualSize: number;
  format: string | null;
  date: string;
  checkpointName: string;
  /** null for none: the header says `""` or false. */
  parentCheckpoint: string | null;
  incremental: boolean;
  /** Whether our writer made it. */
  ours: boolean;
}

const HEADER_BYTES = 40;
const META_LIMIT = 1024 * 1024;

/**
 * Reads the meta frame alone: a folder is listed without reading whole indexes.
 *
 * @returns null when the file does not begin with a meta frame, as a raw image; a text when it does and is damaged
 */
export async function readStreamHeader(source: RandomAccessSource): Promise<StreamHeader | string | null> {
  const keys = await readHeaderKeys(source);
  return keys === null || typeof keys === 'string' ? keys : headerOf(keys);
}

/**
 * The keys of the meta frame, whatever they are, in their order.
 *
 * @returns null and a text as `readStreamHeader`
 */
export async function readHeaderKeys(
  source: RandomAccessSource,
): Promise<ReadonlyMap<string, unknown> | string | null> {
  if (source.size < HEADER_BYTES) return null;
  const head = new Uint8Array(HEADER_BYTES);
  await source.read(0, head);
  const match = /^meta 0{16} ([0-9a-f]{16})\r\n$/.exec(Buffer.from(head).toString('latin1'));
  if (match?.[1] === undefined) return null;
  const length = Number.parseInt(match[1], 16);
  if (length > META_LIMIT) return `its header says ${length} bytes, and at most ${META_LIMIT} are read`;
  if (HEADER_BYTES + length > source.size) return 'it ends within its header';
  const json = new Uint8Array(length);
  await source.read(HEADER_BYTES, json);
  return parseKeys(json);
}

function parseKeys(json: Uint8Array): ReadonlyMap<string, unknown> | string {
  let meta: unknown;
  try {
    meta = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json));
  } catch {
    return 'its header is not JSON';
  }
  if (typeof meta !== 'object' || meta === null || Array.isArray(meta)) return 'its header is not an object';
  return new Map(Object.entries(meta));
}

function headerOf(keys: ReadonlyMap<string, unknown>): StreamHeader | string {
  const text = (key: string): string | null => {
    const value = keys.get(key);
    return typeof value === 'string' && value.length <= 1024 ? value : null;
  };
  const disk = text('diskName');
  const checkpointName = text('checkpointName');
  const virtualSize = keys.get('virtualSize');
  const incremental = keys.get('incremental');
  const parent = keys.get('parentCheckpoint') ?? false;
  if (disk === null || checkpointName === null) return 'its header names no disk or no checkpoint';
  if (typeof virtualSize !== 'number' || !Number.isSafeInteger(virtualSize) || virtualSize < 0) {
    return 'its header has no usable virtualSize';
  }
  if (typeof incremental !== 'boolean') return 'its header does not say whether it is incremental';
  if (parent !== false && typeof parent !== 'string') return 'its header has no usable parentCheckpoint';
  return {
    disk,
    virtualSize,
    format: text('diskFormat'),
    date: text('date') ?? '',
    checkpointName,
    parentCheckpoint: parent === false || parent === '' ? null : parent,
    incremental,
    ours: keys.has('writer'),
  };
}
