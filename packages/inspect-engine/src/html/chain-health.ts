import type { SetProblem } from '@virtnbd/backup-set';
import type { ChainDescription, FolderDescription } from '../folder-description.ts';
import { figure, formatBytes, plural } from './figures.ts';
import { type Html, html } from './html.ts';
import { stateTag } from './point-list.ts';

/** Each chain as a strip of its points, and all that is wrong in the folder. */
export function chainHealth(folder: FolderDescription): Html {
  return html`${folder.chains.map((chain, index) => chainCard(folder, chain, index))}
${folder.problems.length + folder.strays.length === 0 ? html`<p class="fine">Nothing in the folder is out of place.</p>` : ''}
${folder.problems.length === 0 ? '' : html`<ul class="problems">${folder.problems.map(problemItem)}</ul>`}
${strayList(folder)}`;
}

function chainCard({ points }: FolderDescription, chain: ChainDescription, index: number): Html {
  const members = chain.points.flatMap((id) => points.find((point) => point.id === id) ?? []);
  const files = Math.max(0, ...members.flatMap(({ disks }) => disks.map(({ restore }) => restore.files.length)));
  return html`<article class="chain"><h3>${chain.base}${stateTag(chain.state)}</h3>
<div class="strip" role="img" aria-label="${plural(members.length, 'restore point')}">${members.map(
    ({ id, state, level }) => html`<i class="${state}" title="${id}, ${level}: ${state}"></i>`,
  )}</div>
<p class="note">${plural(members.length, 'restore point')}, ${figure(`chains.${index}.fileBytes`, chain.fileBytes, formatBytes)}; a disk is restored from at most ${plural(files, 'file')}.</p></article>`;
}

function problemItem({ severity, message, code }: SetProblem): Html {
  return html`<li class="${severity}"><b>${severity === 'error' ? 'Problem' : 'Note'}</b> ${message} <span class="note">${code}</span></li>`;
}

function strayList({ strays }: FolderDescription): Html | string {
  if (strays.length === 0) return '';
  return html`<h3>Files of no restore point</h3><ul class="problems">${strays.map(
    ({ name, fileBytes, state }, index) =>
      html`<li class="note">${stateTag(state)} ${name} <span class="note">${figure(`strays.${index}.fileBytes`, fileBytes, formatBytes)}</span></li>`,
  )}</ul>`;
}
