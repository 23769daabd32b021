import { formatBytes } from '@virtnbd/cli-kit';
import {
  type DiskDescription,
  type FolderDescription,
  type PointDescription,
  visibleText,
} from '@virtnbd/inspect-engine';
import { type Column, type Row, table } from './columns.ts';
import { count, formatRatio, type Paint, stateColours } from './style.ts';
import { drawTree } from './tree.ts';

const columns: readonly Column[] = [
  { title: 'RESTORE POINT', align: 'left', drop: 0 },
  { title: 'LEVEL', align: 'left', drop: 2 },
  { title: 'DATE', align: 'left', drop: 3 },
  { title: 'DISKS', align: 'left', drop: 5 },
  { title: 'STORED', align: 'right', drop: 1 },
  { title: 'DATA', align: 'right', drop: 6 },
  { title: 'RATIO', align: 'right', drop: 4 },
  { title: 'STATE', align: 'left', drop: 0 },
];

/** A folder, as lines for a terminal. */
export function* folderLines(folder: FolderDescription, width: number, paint: Paint): Generator<string> {
  const { domain, totals, points, unfinished, strays } = folder;
  const name = domain.name === null ? 'a VM' : visibleText(domain.name);
  yield `${paint(name, 'bold')} in ${visibleText(folder.folder)}`;
  const state = totals.complete === totals.points ? 'all complete' : `${totals.complete} complete`;
  yield points.length === 0
    ? 'no restore point'
    : `${count(totals.points, 'restore point')}, ${state}; ${count(totals.disks, 'disk')}; ` +
      `${formatBytes(totals.fileBytes)} stored, ${formatBytes(totals.dataBytes)} of data (${formatRatio(totals.ratio)})`;
  if (points.length + unfinished.length > 0) {
    yield '';
    yield* table(columns, [...pointRows(folder), ...unfinishedRows(folder)], width, paint);
  }
  if (strays.length > 0) {
    yield '';
    yield paint('Files of no restore point', 'bold');
    for (const stray of strays) {
      yield `${paint(stray.state, stateColours[stray.state])}  ${visibleText(stray.name)}  ${formatBytes(stray.fileBytes)}`;
      yield `        ${visibleText(stray.reason)}`;
    }
  }
  if (folder.chains.length > 0) {
    yield '';
    yield paint('Chains', 'bold');
    for (const { base, points: members, state: health, fileBytes } of folder.chains) {
      yield `${paint(health.padEnd(8), stateColours[health])}  ${visibleText(base)}${members.length > 1 ? ` and ${members.length - 1} upon it` : ''}, ${formatBytes(fileBytes)}`;
    }
  }
}

function* pointRows({ points, latest }: FolderDescription): Generator<Row> {
  for (const { point, graph, below } of drawTree(points)) {
    yield [
      { text: `${graph}${visibleText(point.id)}${point.id === latest ? ' (latest)' : ''}` },
      { text: point.level },
      { text: formatDate(point.date) },
      { text: visibleText(point.disks.map(({ disk }) => disk).join(' ')) },
      { text: formatBytes(point.fileBytes) },
      { text: formatBytes(point.dataBytes) },
      { text: formatRatio(point.ratio) },
      { text: point.state, colour: stateColours[point.state] },
    ];
    yield* restoreNotes(point, below);
    yield* bootNotes(point, below);
    if (point.reason !== null)
      yield { prefix: `${below}  `, note: visibleText(point.reason), colour: stateColours[point.state] };
  }
}

/** What each disk of the point could be restored to. */
function* restoreNotes({ disks }: PointDescription, below: string): Generator<Row> {
  for (const disk of disks) yield { prefix: `${below}  `, note: visibleText(restoreText(disk)), colour: 'dim' };
}

/** Whether a VM came up from the point, when that was tried. */
function* bootNotes({ boot }: PointDescription, below: string): Generator<Row> {
  if (boot === null) return;
  const { passed, at, seconds, message } = boot;
  const note = `test boot ${passed ? 'passed' : 'failed'} ${formatDate(at)}, after ${seconds} s: ${visibleText(message)}`;
  yield { prefix: `${below}  `, note, colour: passed ? 'green' : 'red' };
}

function restoreText({ disk, virtualSize, format, imageName, restore, base, kind }: DiskDescription): string {
  const image = [formatBytes(virtualSize), kind === 'raw' ? 'raw' : format, imageName].filter((part) => part !== null);
  if (!restore.possible) return `${disk}: cannot be restored (${image.join(' ')})`;
  const from = base ? 'from its own file' : `from ${restore.files.length} files, base ${restore.points[0]}`;
  return `${disk}: ${image.join(' ')}, ${from}`;
}

function* unfinishedRows({ unfinished }: FolderDescription): Generator<Row> {
  for (const { id, state, fileBytes, files } of unfinished) {
    yield [
      { text: `✗ ${visibleText(id)}` },
      ...['', '', ''].map((text) => ({ text })),
      { text: formatBytes(fileBytes) },
      ...['', ''].map((text) => ({ text })),
      { text: state, colour: stateColours[state] },
    ];
    yield {
      prefix: '    ',
      note: `a run that did not end: ${visibleText(files.map(({ name }) => name).join(', '))}`,
      colour: 'dim',
    };
  }
}

/** `2026-11-23 20:00:00`, local time as `--until` takes it, as far as it is a date. */
export function formatDate(date: string | null): string {
  if (date === null) return '–';
  const time = new Date(date);
  if (Number.isNaN(time.getTime())) return visibleText(date.slice(0, 32));
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${day} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}
