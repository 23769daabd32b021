import type { FolderDescription, PointDescription, UnfinishedRun } from '../folder-description.ts';
import { pointTree, type TreeRow } from '../point-tree.ts';
import { figure, formatBytes, formatDate, formatRatio, plural } from './figures.ts';
import { type Html, html } from './html.ts';

/** Every restore point: how it hangs on the others, its size, and what it could be restored to. */
export function pointList(folder: FolderDescription): Html {
  const largest = Math.max(1, ...folder.points.map(({ fileBytes }) => fileBytes));
  const number = new Map(folder.points.map((point, index) => [point, index]));
  return html`<ol class="points">
${pointTree(folder.points).map((row) => pointRow(row, number.get(row.point) ?? 0, largest, folder.latest))}
${folder.unfinished.map(unfinishedRow)}
</ol>`;
}

function pointRow(row: TreeRow, index: number, largest: number, latest: string | null): Html {
  const { point } = row;
  const path = `points.${index}`;
  const share = Math.max(0.5, (point.fileBytes / largest) * 100).toFixed(1);
  return html`<li class="point" id="p${index}">
${rail(row)}
<div class="what"><p class="name"><b>${point.id}</b> <span class="tag ${point.level}">${levelName(point)}</span>${
    point.id === latest ? html` <span class="tag latest">latest</span>` : ''
  } <span class="when">${formatDate(point.date)}</span>${stateTag(point.state)}</p>
${point.reason === null ? '' : html`<p class="reason">${point.reason}</p>`}${bootNote(point)}</div>
<div class="size"><p><b>${figure(`${path}.fileBytes`, point.fileBytes, formatBytes)}</b> <span class="note">${
    point.ratio === null
      ? 'no data'
      : html`${figure(`${path}.dataBytes`, point.dataBytes, formatBytes)} of data, ${figure(`${path}.ratio`, point.ratio, formatRatio)}`
  }</span></p>
<span class="bar"><i class="${point.level}" style="width:${share}%"></i></span></div>
<details class="more"><summary>${plural(point.disks.length, 'disk')}, ${restoreSummary(point)}</summary>${diskTable(point, path)}</details>
</li>`;
}

/** Whether a VM came up from it, when that was tried. */
function bootNote({ boot }: PointDescription): Html | '' {
  if (boot === null) return '';
  const { passed, at, seconds, message } = boot;
  const when = `${formatDate(at)}, after ${seconds} s`;
  return html`<p class="${passed ? 'note' : 'reason'}">test boot ${passed ? 'passed' : 'failed'} ${when}: ${message}</p>`;
}

function unfinishedRow({ id, state, files, fileBytes }: UnfinishedRun, index: number): Html {
  return html`<li class="point"><div class="rail" style="--depth:0"><i class="node bad"></i></div>
<div class="what"><p class="name"><b>${id}</b>${stateTag(state)}</p>
<p class="when">a run that did not end: ${files.map(({ name }) => name).join(', ')}</p></div>
<div class="size"><p><b>${figure(`unfinished.${index}.fileBytes`, fileBytes, formatBytes)}</b></p></div></li>`;
}

/** The lines of the tree, made of borders, so that they reach from row to row whatever its height. */
function rail({ point, depth, branch, above, below }: TreeRow): Html {
  const lines = above.flatMap((from, column) => {
    const parts: Html[] = [];
    if (from) parts.push(html`<i class="up" style="--col:${column}"></i>`);
    if (below[column]) parts.push(html`<i class="down" style="--col:${column}"></i>`);
    return parts;
  });
  const elbow = branch ? html`<i class="elbow" style="--col:${depth - 1}"></i>` : '';
  const node = html`<i class="node ${point.level}${point.state === 'complete' ? '' : ' bad'}" style="--col:${depth}"></i>`;
  return html`<div class="rail" style="--depth:${depth}" aria-hidden="true">${lines}${elbow}${node}</div>`;
}

function levelName({ level, disks }: PointDescription): string {
  const whole = level !== 'full' && level !== 'copy' && disks.length > 0 && disks.every(({ base }) => base);
  const names = { full: 'full', copy: 'copy', inc: 'increment', diff: 'differential' } as const;
  return whole ? `${names[level]}, whole disk` : names[level];
}

export function stateTag(state: string): Html {
  return html` <span class="tag state ${state}">${state}</span>`;
}

function restoreSummary({ disks }: PointDescription): string {
  const possible = disks.filter(({ restore }) => restore.possible);
  if (possible.length === 0) return 'cannot be restored';
  if (possible.length < disks.length) return `${possible.length} of them can be restored`;
  const files = new Set(possible.flatMap(({ restore }) => restore.files)).size;
  return `restored from ${plural(files, 'file')}`;
}

function diskTable({ disks }: PointDescription, path: string): Html {
  return html`<div class="scroll"><table><thead><tr><th>Disk</th><th>Restored as</th><th class="number">Stored</th><th class="number">Data</th><th>Checksum</th><th>Files, base first</th></tr></thead><tbody>${disks.map(
    (disk, index) =>
      html`<tr><td>${disk.disk}</td><td>${
        disk.restore.possible
          ? html`${figure(`${path}.disks.${index}.virtualSize`, disk.virtualSize, formatBytes)} ${disk.format ?? (disk.kind === 'raw' ? 'raw' : 'image')}${disk.imageName === null ? '' : ` ${disk.imageName}`}`
          : html`<span class="reason">${disk.restore.reason}</span>`
      }</td><td class="number">${figure(`${path}.disks.${index}.fileBytes`, disk.fileBytes, formatBytes)}</td><td class="number">${figure(`${path}.disks.${index}.dataBytes`, disk.dataBytes, formatBytes)}</td><td>${disk.checksum}</td><td>${shortList(disk.restore.files)}</td></tr>`,
  )}</tbody></table></div>`;
}

/** A chain of fifty files is told by its ends. */
function shortList(files: readonly string[]): string {
  if (files.length <= 4) return files.join(', ');
  return `${files[0]}, … ${files.length - 2} more …, ${files.at(-1)}`;
}
