import type { DiskRegions, FolderDescription } from '../folder-description.ts';
import { ratioOf } from '../frame-stats.ts';
import { figure, formatBytes, formatPosition, formatRatio, plural } from './figures.ts';
import { Html, html } from './html.ts';

const CELL = 12;
const GAP = 2;
const HEAT_STEPS = 5;
/** Lower borders of the classes of compression. */
const RATIO_STEPS = [0, 1.1, 1.5, 2, 4] as const;

/** Heat map and compression of each disk. */
export function diskMaps({ regions }: FolderDescription): Html {
  return html`${regions.map((disk, index) => (disk.count === 0 ? '' : diskSection(disk, `regions.${index}`)))}`;
}

function diskSection(disk: DiskRegions, path: string): Html {
  const most = Math.max(...disk.changes);
  const never = disk.changes.filter((changes) => changes === 0).length / disk.count;
  const summary =
    disk.increments === 0
      ? 'No increment of this disk has been saved yet.'
      : html`${figure(`${path}.increments`, disk.increments)} ${disk.increments === 1 ? 'increment' : 'increments and differentials'}; ${Math.round(never * 100)}\u00a0% of the regions never changed.`;
  return html`<article class="disk"><h3>${disk.disk} <span class="note">${figure(`${path}.virtualSize`, disk.virtualSize, formatBytes)}</span></h3>
<div class="maps"><figure><figcaption>How often each region changed</figcaption>
${grid(
  disk,
  (cell) => heatClass(disk.changes[cell] ?? 0, most),
  (cell) => heatTitle(disk, cell),
)}
${scaleOfHeat(most, disk.increments)}<p class="note">${summary} ${busiest(disk, most)}</p></figure>
<figure><figcaption>Compression by region</figcaption>
${grid(
  disk,
  (cell) => ratioClass(disk, cell),
  (cell) => ratioTitle(disk, cell),
)}
${scaleOfRatio()}<p class="note">${ratioSummary(disk)}</p></figure></div>
<p class="note">From the start of the disk, left to right and top to bottom; a square is ${figure(`${path}.cellBytes`, disk.cellBytes, formatBytes)}, a row ${formatBytes(disk.cellBytes * columnsOf(disk))}.</p>
</article>`;
}

/** A power of two, so that rows begin at round offsets. */
function columnsOf({ count }: DiskRegions): number {
  let columns = 8;
  while (columns * columns < count * 2 && columns < 64) columns *= 2;
  return columns;
}

function grid(disk: DiskRegions, classOf: (cell: number) => string, titleOf: (cell: number) => string): Html {
  const columns = columnsOf(disk);
  const rows = Math.ceil(disk.count / columns);
  const cells: string[] = [];
  for (let cell = 0; cell < disk.count; cell++) {
    const x = (cell % columns) * CELL;
    const y = Math.floor(cell / columns) * CELL;
    // Numbers and our own words only: nothing here comes from a backup.
    cells.push(
      `<rect x="${x}" y="${y}" width="${CELL - GAP}" height="${CELL - GAP}" rx="1.5" class="${classOf(cell)}"><title>${titleOf(cell)}</title></rect>`,
    );
  }
  const size = `0 0 ${columns * CELL - GAP} ${rows * CELL - GAP}`;
  return new Html(`<svg class="cells" viewBox="${size}" role="img">${cells.join('')}</svg>`);
}

function rangeText({ cellBytes, virtualSize }: DiskRegions, cell: number): string {
  return `${formatPosition(cell * cellBytes)} – ${formatPosition(Math.min(virtualSize, (cell + 1) * cellBytes))}`;
}

function heatClass(changes: number, most: number): string {
  return `h${changes === 0 ? 0 : Math.max(1, Math.ceil((changes / most) * HEAT_STEPS))}`;
}

function heatTitle(disk: DiskRegions, cell: number): string {
  const changes = disk.changes[cell] ?? 0;
  if (changes === 0) return `${rangeText(disk, cell)}: never changed`;
  return `${rangeText(disk, cell)}: changed in ${changes} of ${disk.increments}, ${formatBytes(disk.changedBytes[cell] ?? 0)} saved`;
}

function scaleOfHeat(most: number, increments: number): Html {
  const steps = Array.from({ length: HEAT_STEPS }, (_, index) => {
    const from = Math.floor((most * index) / HEAT_STEPS) + 1;
    const to = Math.floor((most * (index + 1)) / HEAT_STEPS);
    return from > to ? '' : html`<span><i class="h${index + 1}"></i>${from === to ? from : `${from}–${to}`}×</span>`;
  });
  const of = most === 0 ? '' : html`<span>of ${increments}</span>`;
  return html`<p class="scale"><span><i class="h0"></i>never</span>${steps}${of}</p>`;
}

function busiest(disk: DiskRegions, most: number): string {
  if (most === 0) return '';
  const cell = disk.changes.indexOf(most);
  const others = disk.changes.filter((changes) => changes === most).length - 1;
  const more = others === 0 ? '' : ` and ${plural(others, 'other region')}`;
  return `Most often: ${rangeText(disk, cell)}${more}, in ${most} of ${disk.increments}.`;
}

function ratioClass({ dataBytes, storedBytes }: DiskRegions, cell: number): string {
  const ratio = ratioOf(dataBytes[cell] ?? 0, storedBytes[cell] ?? 0);
  return ratio === null ? 'r0' : `r${RATIO_STEPS.filter((border) => ratio >= border).length}`;
}

function ratioTitle(disk: DiskRegions, cell: number): string {
  const { dataBytes, storedBytes } = disk;
  const ratio = ratioOf(dataBytes[cell] ?? 0, storedBytes[cell] ?? 0);
  if (ratio === null) return `${rangeText(disk, cell)}: no data`;
  return `${rangeText(disk, cell)}: ${formatBytes(dataBytes[cell] ?? 0)} of data in ${formatBytes(storedBytes[cell] ?? 0)}, ${formatRatio(ratio)}`;
}

function scaleOfRatio(): Html {
  const names = ['below 1.1', 'from 1.1', 'from 1.5', 'from 2', 'from 4 : 1'];
  const steps = names.map((name, index) => html`<span><i class="r${index + 1}"></i>${name}</span>`);
  return html`<p class="scale"><span><i class="r0"></i>no data</span>${steps}</p>`;
}

function ratioSummary({ dataBytes, storedBytes }: DiskRegions): string {
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const [data, stored] = [sum(dataBytes), sum(storedBytes)];
  const ratio = ratioOf(data, stored);
  if (ratio === null) return 'No data has been saved.';
  if (Math.abs(ratio - 1) < 0.005) return `Not compressed: ${formatBytes(data)} of data.`;
  return `All files together: ${formatBytes(data)} of data in ${formatBytes(stored)}, ${formatRatio(ratio)}.`;
}
