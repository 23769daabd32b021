import { basename } from 'node:path';
import type { Host } from '@virtnbd/host';
import { type RandomAccessSource, StreamFile, StreamFormatError } from '@virtnbd/stream-format';
import { cellSizeFor, type DiskMap, diskMap } from './disk-map.ts';
import { InspectError } from './errors.ts';
import { describeMeta, type HeaderDescription, metaFrameBytes, salvageHeader } from './file-header.ts';
import { type FrameStatistics, frameHistogram, frameStatistics, type HistogramBucket } from './frame-stats.ts';
import { openFile } from './open-stream.ts';

export interface DescribeFileOptions {
  signal?: AbortSignal | undefined;
  /** Cells of the map at most; default 1024. */
  cells?: number | undefined;
  /** Whether `frames` is there. */
  frames?: boolean | undefined;
}

/** One data or zero frame. */
export interface FrameDescription {
  kind: 'data' | 'zero';
  /** Bytes from the start of the disk. */
  start: number;
  /** Bytes of the disk. */
  length: number;
  /** Offset of the payload in the file; null for a zero frame. */
  fileOffset: number | null;
  /** Bytes of the payload in the file. */
  storedLength: number;
}

/** What a data file holds (SCHEMA.md, `virtnbd-file`). */
export interface FileDescription {
  schema: 'virtnbd-file';
  version: 1;
  path: string;
  /** Bytes of the file. */
  fileBytes: number;
  /** `raw`: it does not begin like a stream file, as a plain image. */
  kind: 'stream' | 'raw';
  /** `damaged`: it cannot be read as a stream file; also one that was never finished. */
  state: 'complete' | 'damaged';
  problem: { code: string; message: string; fileOffset: number | null } | null;
  header: HeaderDescription | null;
  statistics: FrameStatistics | null;
  histogram: HistogramBucket[];
  map: DiskMap | null;
  frames?: Iterable<FrameDescription>;
}

/**
 * Describes one data file by its headers; payloads are not read.
 *
 * @throws InspectError `NOT_FOUND`; HostError; `signal.reason`
 */
export async function describeFile(
  host: Host,
  path: string,
  options: DescribeFileOptions = {},
): Promise<FileDescription> {
  if ((await host.files.stat(path)) === null) throw new InspectError('NOT_FOUND', `There is no file ${path}.`);
  await using opened = await openFile(host, path);
  const { source } = opened;
  const common = { schema: 'virtnbd-file', version: 1, path, fileBytes: source.size } as const;
  const empty = { header: null, statistics: null, histogram: [], map: null };
  const metaBytes = await metaFrameBytes(source);
  if (metaBytes === null) return { ...common, kind: 'raw', state: 'complete', problem: null, ...empty };
  try {
    return { ...common, kind: 'stream', state: 'complete', problem: null, ...(await describe(source, path, options)) };
  } catch (error) {
    if (!(error instanceof StreamFormatError)) throw error;
    const problem = { code: error.code, message: error.message, fileOffset: error.fileOffset ?? null };
    const header = await salvageHeader(source, metaBytes);
    return { ...common, kind: 'stream', state: 'damaged', problem, ...empty, header };
  }
}

async function describe(source: RandomAccessSource, path: string, options: DescribeFileOptions) {
  const { signal, cells = 1024 } = options;
  const file = await StreamFile.open(source, { name: basename(path), ...(signal === undefined ? {} : { signal }) });
  const { virtualSize } = file.meta;
  return {
    header: describeMeta(file.meta, file.compressed),
    statistics: frameStatistics(file),
    histogram: frameHistogram(file),
    map: diskMap(file.index, virtualSize, cellSizeFor(virtualSize, cells)),
    ...(options.frames === true && { frames: { [Symbol.iterator]: () => framesOf(file) } }),
  };
}

function* framesOf({ index }: StreamFile): Generator<FrameDescription, void, undefined> {
  for (let frame = 0; frame < index.count; frame++) {
    const kind = index.kind(frame);
    yield {
      kind,
      start: index.start(frame),
      length: index.length(frame),
      fileOffset: kind === 'zero' ? null : index.fileOffset(frame),
      storedLength: index.storedLength(frame),
    };
  }
}
