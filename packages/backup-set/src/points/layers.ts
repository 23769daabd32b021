import type { Host } from '@virtnbd/host';
import type { RandomAccessSource, StreamFile } from '@virtnbd/stream-format';
import { type Part, PartReader } from './part-reader.ts';

export interface OpenLayersOptions {
  signal?: AbortSignal;
  /** Bytes read so far, of all that are read, while adler32 checksums are compared before anything is opened. */
  onProgress?: (progress: { done: number; total: number }) => void;
  /** The caller has compared the `.chksum` files itself just before: they are not read again. */
  assumeVerified?: boolean;
}

/**
 * What stands behind the bytes of a file: `chunks`: every read is checked; `adler32`: the whole file was checked when it
 * was opened; `assumed`: the caller said so; `none`: there is no checksum to compare.
 */
export type Checked = 'chunks' | 'adler32' | 'assumed' | 'none';

/** One file of a disk's chain, open. */
export interface OpenedLayer {
  /** Name of the file. */
  name: string;
  point: string;
  file: StreamFile;
  checked: Checked;
}

interface Opened extends AsyncDisposable {
  disk: string;
  point: string;
  /** What the user should hear of: files that were not checked. */
  notes: readonly string[];
  close(): Promise<void>;
}

/** A disk whose content is built of stream files, base first. */
export interface OpenedStreams extends Opened {
  kind: 'stream';
  layers: readonly OpenedLayer[];
}

/** A disk that was saved as a plain raw image. */
export interface OpenedRaw extends Opened {
  kind: 'raw';
  image: { name: string; source: RandomAccessSource; checked: Checked };
}

export type OpenedDisk = OpenedStreams | OpenedRaw;

/**
 * Opens the files that make a disk. See `BackupSet.openLayers`.
 *
 * @param parts base first
 */
export async function openParts(
  host: Host,
  folder: string,
  parts: readonly Part[],
  disk: string,
  options: OpenLayersOptions = {},
): Promise<OpenedDisk> {
  const opener = new PartReader(host, folder, options, totalToRead(parts));
  try {
    const last = parts.at(-1);
    const common = { disk, point: last?.point.id ?? '', notes: opener.notes, close: () => opener.close() };
    const [only] = parts;
    if (only !== undefined && parts.length === 1 && only.disk.kind === 'raw') {
      const { source, checked } = await opener.openSource(only);
      const image = { name: only.disk.file, source, checked };
      return { ...common, kind: 'raw', image, [Symbol.asyncDispose]: common.close };
    }
    const layers: OpenedLayer[] = [];
    for (const part of parts) layers.push(await opener.openLayer(part));
    return { ...common, kind: 'stream', layers, [Symbol.asyncDispose]: common.close };
  } catch (error) {
    await opener.close().catch(() => undefined);
    throw error;
  }
}

function totalToRead(parts: readonly Part[]): number {
  return parts.reduce((sum, { point, disk }) => sum + (point.manifest === null ? disk.fileSize : 0), 0);
}
