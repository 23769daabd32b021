import { formatBytes } from '@virtnbd/cli-kit';
import type { DiskMap } from '@virtnbd/inspect-engine';
import { cut } from './columns.ts';
import type { Colour, Paint } from './style.ts';

/** Columns and rows that a map may take. */
const WIDEST = 64;
const HIGHEST = 16;
const LABEL = 11;

/** The most cells that a map on a screen of this width can show. */
export function cellsFor(width: number, height: number): number {
  return columnsFor(width) * Math.max(4, Math.min(HIGHEST, height - 8));
}

/** A power of two, so that rows begin at round offsets. */
function columnsFor(width: number): number {
  let columns = WIDEST;
  while (columns > 8 && columns + LABEL > width) columns /= 2;
  return columns;
}

/** A picture of the disk: each sign is one cell, the sign says what most of it is. */
export function* mapLines(map: DiskMap, virtualSize: number, width: number, paint: Paint): Generator<string> {
  const columns = columnsFor(width);
  yield paint(`Map of the disk, ${formatBytes(map.cellBytes).replace('.0 ', ' ')} a sign`, 'bold');
  for (let row = 0; row * columns < map.count; row++) {
    const runs: { text: string; colour: Colour }[] = [];
    for (let cell = row * columns; cell < Math.min(map.count, (row + 1) * columns); cell++) {
      const { sign, colour } = signOf(map, cell, virtualSize);
      const last = runs.at(-1);
      if (last?.colour === colour) last.text += sign;
      else runs.push({ text: sign, colour });
    }
    const line = runs.map(({ text, colour }) => paint(text, colour)).join('');
    yield `${formatBytes(row * columns * map.cellBytes).padStart(LABEL - 1)} ${line}`;
  }
  const legend = '█ data  ▒ data in part  ▁ a little data  · zero  (blank) absent';
  yield paint(cut(legend, width), 'dim');
}

function signOf(
  { data, zero, cellBytes }: DiskMap,
  cell: number,
  virtualSize: number,
): { sign: string; colour: Colour } {
  const size = Math.min(cellBytes, virtualSize - cell * cellBytes);
  const share = (data[cell] ?? 0) / size;
  if (share > 0) return { sign: share > 0.9 ? '█' : share > 0.25 ? '▒' : '▁', colour: 'green' };
  return { sign: (zero[cell] ?? 0) > 0 ? '·' : ' ', colour: 'blue' };
}
