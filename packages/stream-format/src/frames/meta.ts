import { StreamFormatError } from '../errors.ts';

/** What the meta frame says of a stream file (SPEC.md, "Meta frame"). */
export interface StreamMeta {
  /** Size of the disk, in bytes. */
  readonly virtualSize: number;
  /** Sum of the lengths of all data frames, in bytes. */
  readonly dataSize: number;
  /** When the backup was taken, ISO 8601; empty when the file does not say. */
  readonly date: string;
  /** Target device, such as `vda`. */
  readonly diskName: string;
  /** Format of the source image, such as `qcow2`. */
  readonly diskFormat?: string;
  readonly checkpointName: string;
  /** False, or the level. True in files of old versions. A level of 0 may be either: see `StreamFile.compressed`. */
  readonly compressed: boolean | number;
  readonly compressionMethod?: string;
  /** Empty or false in a base. */
  readonly parentCheckpoint: string | false;
  readonly incremental: boolean;
  readonly streamVersion: number;
  /** The program that wrote the file; absent in files of the established tool. */
  readonly writer?: { readonly name: string; readonly version: string };
  /** Keys that this version does not know, as they were. */
  readonly extra: Record<string, unknown>;
}

const KNOWN_KEYS = new Set([
  'virtualSize',
  'dataSize',
  'date',
  'diskName',
  'diskFormat',
  'checkpointName',
  'compressed',
  'compressionMethod',
  'parentCheckpoint',
  'incremental',
  'streamVersion',
  'stream-version',
  'writer',
]);

/** The JSON of a meta frame, in ASCII, in the layout of the established tool. Extra keys never replace known ones. */
export function encodeMeta(meta: StreamMeta): Uint8Array {
  const kept = Object.entries(meta.extra).filter(([key]) => !KNOWN_KEYS.has(key));
  const ordered = {
    virtualSize: meta.virtualSize,
    dataSize: meta.dataSize,
    date: meta.date,
    diskName: meta.diskName,
    diskFormat: meta.diskFormat,
    checkpointName: meta.checkpointName,
    compressed: meta.compressed,
    compressionMethod: meta.compressionMethod,
    parentCheckpoint: meta.parentCheckpoint,
    incremental: meta.incremental,
    streamVersion: meta.streamVersion,
    writer: meta.writer,
    ...Object.fromEntries(kept),
  };
  const json = JSON.stringify(ordered, null, 4);
  return Buffer.from(json.replace(/[\u0080-\uffff]/g, escapeCharacter), 'latin1');
}

function escapeCharacter(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/**
 * Reads the JSON of a meta frame.
 *
 * @throws StreamFormatError BAD_META, or UNSUPPORTED for a version or compression method that is not known
 */
export function decodeMeta(json: Uint8Array): StreamMeta {
  const raw = parseObject(json);
  const streamVersion = raw.streamVersion ?? raw['stream-version'];
  if (!isSize(streamVersion)) throw badMeta('streamVersion', streamVersion);
  if (streamVersion < 1 || streamVersion > 3) {
    throw new StreamFormatError(
      'UNSUPPORTED',
      `The stream file is of version ${streamVersion}; this program reads 1, 2 and 3. A newer version may read it`,
    );
  }
  const compressed = raw.compressed ?? false;
  if (typeof compressed !== 'boolean' && !isSize(compressed)) throw badMeta('compressed', compressed);
  const method = optionalString(raw, 'compressionMethod');
  if (compressed !== false) requireMethod(streamVersion, method);
  const parentCheckpoint = raw.parentCheckpoint ?? false;
  if (parentCheckpoint !== false && typeof parentCheckpoint !== 'string') {
    throw badMeta('parentCheckpoint', parentCheckpoint);
  }
  const incremental = raw.incremental;
  if (typeof incremental !== 'boolean') throw badMeta('incremental', incremental);
  const diskFormat = optionalString(raw, 'diskFormat');
  const writer = decodeWriter(raw.writer);
  return {
    virtualSize: size(raw, 'virtualSize'),
    dataSize: size(raw, 'dataSize'),
    date: optionalString(raw, 'date') ?? '',
    diskName: string(raw, 'diskName'),
    ...(diskFormat !== undefined && { diskFormat }),
    checkpointName: string(raw, 'checkpointName'),
    compressed,
    ...(method !== undefined && { compressionMethod: method }),
    parentCheckpoint,
    incremental,
    streamVersion,
    ...(writer !== undefined && { writer }),
    extra: Object.fromEntries(Object.entries(raw).filter(([key]) => !KNOWN_KEYS.has(key))),
  };
}

/** Versions 1 and 2 know lz4, also when they do not name it; version 3 is zstd. */
function requireMethod(streamVersion: number, method: string | undefined): void {
  const known = streamVersion === 3 ? 'zstd' : 'lz4';
  if ((method ?? 'lz4') === known) return;
  throw new StreamFormatError(
    'UNSUPPORTED',
    `The stream file, of version ${streamVersion}, is compressed by ${method ?? 'a method that it does not name'}; this program reads ${known} there`,
  );
}

function parseObject(json: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json));
  } catch (cause) {
    throw new StreamFormatError('BAD_META', 'The JSON of the meta frame cannot be read: the file is damaged', {
      cause,
    });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new StreamFormatError('BAD_META', 'The JSON of the meta frame is not an object: the file is damaged');
  }
  return { ...value };
}

function decodeWriter(value: unknown): { name: string; version: string } | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'object' && value !== null && 'name' in value && 'version' in value) {
    const { name, version } = value;
    if (typeof name === 'string' && typeof version === 'string') return { name, version };
  }
  throw badMeta('writer', value);
}

function size(raw: Record<string, unknown>, key: string): number {
  const value = raw[key];
  if (!isSize(value)) throw badMeta(key, value);
  return value;
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function string(raw: Record<string, unknown>, key: string): string {
  const value = raw[key];
  if (typeof value !== 'string') throw badMeta(key, value);
  return value;
}

function optionalString(raw: Record<string, unknown>, key: string): string | undefined {
  const value = raw[key] ?? undefined;
  if (value !== undefined && typeof value !== 'string') throw badMeta(key, value);
  return value;
}

function badMeta(key: string, value: unknown): StreamFormatError {
  const seen = value === undefined ? 'missing' : JSON.stringify(value).slice(0, 80);
  return new StreamFormatError('BAD_META', `Key ${key} of the meta frame is ${seen}: the file is damaged or foreign`);
}
