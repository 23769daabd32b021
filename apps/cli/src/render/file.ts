import { formatBytes } from '@virtnbd/cli-kit';
import {
  type FileDescription,
  type FrameDescription,
  type HeaderDescription,
  type HistogramBucket,
  visibleText,
} from '@virtnbd/inspect-engine';
import { type Column, cut, type Row, table } from './columns.ts';
import { formatDate } from './folder.ts';
import { mapLines } from './map.ts';
import { count, formatRatio, type Paint } from './style.ts';

/** A file, as lines for a terminal. */
export function* fileLines(file: FileDescription, width: number, paint: Paint): Generator<string> {
  yield `${paint(visibleText(file.path), 'bold')}, ${formatBytes(file.fileBytes)}`;
  if (file.problem !== null) yield paint(`damaged or unfinished: ${visibleText(file.problem.message)}`, 'red');
  if (file.kind === 'raw') {
    yield 'no stream file: it does not begin like one, and may be a raw image';
    return;
  }
  if (file.header !== null) yield* headerLines(file.header, file.problem !== null, paint);
  const { statistics } = file;
  if (statistics !== null) {
    const { smallestDataFrame: least, largestDataFrame: most } = statistics;
    yield '';
    yield paint('Frames', 'bold');
    const sizes = least === null || most === null ? '' : `, ${formatBytes(least)} to ${formatBytes(most)} each`;
    yield `data    ${formatBytes(statistics.dataBytes)} in ${count(statistics.dataFrames, 'frame')}${sizes}`;
    yield `zero    ${formatBytes(statistics.zeroBytes)} in ${count(statistics.zeroFrames, 'frame')}`;
    yield `absent  ${formatBytes(statistics.absentBytes)} that no frame tells of`;
    yield `stored  ${formatBytes(statistics.storedBytes)} for the data, ${formatRatio(statistics.ratio)}`;
  }
  if (file.histogram.length > 0) {
    yield '';
    yield* histogramLines(file.histogram, width, paint);
  }
  if (file.map !== null && file.header?.virtualSize != null && file.header.virtualSize > 0) {
    yield '';
    yield* mapLines(file.map, file.header.virtualSize, width, paint);
  }
}

function* headerLines(header: HeaderDescription, unchecked: boolean, paint: Paint): Generator<string> {
  const { compression, compressionLevel } = header;
  const level = compressionLevel === null ? '' : `, level ${compressionLevel}`;
  const size = header.virtualSize === null ? null : formatBytes(header.virtualSize);
  const values: [string, string | null][] = [
    ['disk', [header.disk, size, header.format].filter((part) => part !== null).join(', ')],
    ['date', header.date === null ? null : formatDate(header.date)],
    ['checkpoint', header.checkpoint],
    ['holds', header.incremental === true ? `changes since ${header.parent ?? 'an unknown point'}` : 'the whole disk'],
    ['compression', compression === null ? 'none' : `${compression}${level}`],
    ['version', header.streamVersion === null ? null : String(header.streamVersion)],
    ['writer', header.writer],
  ];
  yield '';
  yield paint(unchecked ? 'Header (as far as it can be read)' : 'Header', 'bold');
  for (const [name, value] of values) if (value !== null) yield `${name.padEnd(12)}${visibleText(value)}`;
}

function* histogramLines(histogram: readonly HistogramBucket[], width: number, paint: Paint): Generator<string> {
  const most = Math.max(...histogram.map((bucket) => bucket.dataFrames + bucket.zeroFrames));
  const room = Math.max(8, Math.min(width, 100) - 40);
  const sizes = (value: number): string => formatBytes(value).replace('.0 ', ' ');
  yield paint('Frame sizes', 'bold');
  for (const bucket of histogram) {
    const { from, to, dataFrames, zeroFrames } = bucket;
    const length = (frames: number): number => (frames === 0 ? 0 : Math.max(1, Math.round((frames / most) * room)));
    const bar = paint('█'.repeat(length(dataFrames)), 'green') + paint('░'.repeat(length(zeroFrames)), 'blue');
    yield `${`${sizes(from)} – ${sizes(to)}`.padEnd(20)}${String(dataFrames + zeroFrames).padStart(9)}  ${bar}`;
  }
  yield paint(cut('frames of a size from … to below …; █ data, ░ zero', width), 'dim');
}

const frameColumns: readonly Column[] = [
  { title: 'KIND', align: 'left', drop: 0 },
  { title: 'START', align: 'right', drop: 0 },
  { title: 'LENGTH', align: 'right', drop: 0 },
  { title: 'IN FILE AT', align: 'right', drop: 2 },
  { title: 'STORED', align: 'right', drop: 1 },
];

/** Frames laid out at a time: a million of them are never kept as text. */
const BATCH = 1000;
/** Columns of any offset below 2^53. */
const DIGITS = 16;

/** All frames, in bytes. */
export function* frameLines(frames: Iterable<FrameDescription>, width: number, paint: Paint): Generator<string> {
  let batch: Row[] = [];
  let first = true;
  const flush = function* (): Generator<string> {
    const lines = table(frameColumns, batch, width, paint);
    yield* first ? lines : lines.slice(1);
    first = false;
    batch = [];
  };
  for (const { kind, start, length, fileOffset, storedLength } of frames) {
    const number = (value: number | null): string => String(value ?? '–').padStart(DIGITS);
    batch.push([
      { text: kind },
      { text: number(start) },
      { text: number(length) },
      { text: number(fileOffset) },
      { text: number(kind === 'zero' ? null : storedLength) },
    ]);
    if (batch.length === BATCH) yield* flush();
  }
  if (batch.length > 0 || first) yield* flush();
}
