import type { FolderDescription, PointDescription } from '../folder-description.ts';
import { figure, formatBytes, formatDate } from './figures.ts';
import { Html, html } from './html.ts';

/** The lines of the chart: 1 KiB, 32 KiB, 1 MiB … */
const STEP = 32;

/** When and how large: a mark a restore point over a true time axis, sizes on a logarithmic scale. */
export function timeline({ points }: FolderDescription): Html {
  if (points.length === 0) return new Html('');
  const sizes = points.map(({ fileBytes }) => Math.max(1, fileBytes));
  const low = Math.floor(Math.log(Math.min(...sizes)) / Math.log(STEP));
  const high = Math.max(low + 1, Math.ceil(Math.log(Math.max(...sizes)) / Math.log(STEP)));
  const heightOf = (bytes: number): number =>
    ((Math.log(Math.max(1, bytes)) / Math.log(STEP) - low) / (high - low)) * 100;
  const lines = Array.from({ length: high - low + 1 }, (_, index) => STEP ** (low + index));
  const places = placesOf(points);
  const dense = points.length > 30 ? ' dense' : '';
  const first = points[places.indexOf(Math.min(...places))];
  const last = points[places.indexOf(Math.max(...places))];
  return html`<figure class="chart${dense}">
<figcaption>Size of each restore point <span class="note">logarithmic scale</span></figcaption>
<div class="plot" role="img" aria-label="Sizes of ${points.length} restore points over time; the list below has the figures">
${lines.map((bytes) => html`<span class="grid" style="bottom:${heightOf(bytes).toFixed(2)}%"><b>${formatBytes(bytes)}</b></span>`)}
<div class="marks">${points.map((point, index) => mark(point, places[index] ?? 0, heightOf(point.fileBytes)))}</div>
</div>
<div class="axis"><span>${formatDate(first?.date ?? null)}</span><span>${first === last ? '' : formatDate(last?.date ?? null)}</span></div>
</figure>`;
}

function mark({ id, level, fileBytes, date, state }: PointDescription, place: number, height: number): Html {
  const at = `left:${place.toFixed(2)}%;height:${Math.max(0, height).toFixed(2)}%`;
  const title = `${id}, ${level}: ${formatBytes(fileBytes)}, ${formatDate(date)}${state === 'complete' ? '' : `, ${state}`}`;
  return html`<span class="mark ${level}${state === 'complete' ? '' : ' bad'}" style="${at}" title="${title}"></span>`;
}

/** Per cent from left to right: by time, or by order when a point has no usable date. */
function placesOf(points: readonly PointDescription[]): number[] {
  const times = points.map(({ date }) => Date.parse(date ?? ''));
  const dated = times.every((time) => !Number.isNaN(time));
  const values = dated ? times : points.map((_, index) => index);
  const low = Math.min(...values);
  const span = Math.max(...values) - low;
  return values.map((value) => (span === 0 ? 50 : ((value - low) / span) * 100));
}

/** What the marks mean. */
export function levelLegend({ points }: FolderDescription): Html {
  const names = { full: 'full', copy: 'copy', inc: 'increment', diff: 'differential' } as const;
  const used = (['full', 'copy', 'inc', 'diff'] as const).filter((level) =>
    points.some((point) => point.level === level),
  );
  return html`<ul class="legend">${used.map((level) => html`<li><i class="dot ${level}"></i>${names[level]}</li>`)}</ul>`;
}

/** The key figures of a folder. */
export function tiles({ totals }: FolderDescription): Html {
  const tile = (name: string, value: Html, note: string): Html =>
    html`<div class="tile"><dt>${name}</dt><dd>${value}</dd><p>${note}</p></div>`;
  const savings = totals.ratio !== null && totals.ratio > 1.005;
  return html`<dl class="tiles">
${tile('Restore points', figure('totals.points', totals.points), totals.disks === 1 ? 'of 1 disk' : `of ${totals.disks} disks`)}
${tile('Can be restored', figure('totals.complete', totals.complete), 'by their headers')}
${tile('Stored', figure('totals.fileBytes', totals.fileBytes, formatBytes), 'size of all their files')}
${tile('Data in them', figure('totals.dataBytes', totals.dataBytes, formatBytes), savings ? 'before compression' : 'not compressed')}
</dl>`;
}
