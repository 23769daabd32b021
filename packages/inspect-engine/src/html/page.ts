import type { FolderDescription } from '../folder-description.ts';
import { chainHealth } from './chain-health.ts';
import { diskMaps } from './disk-maps.ts';
import { type Html, html, Html as Raw } from './html.ts';
import { pointList } from './point-list.ts';
import { STYLE } from './style.ts';
import { levelLegend, tiles, timeline } from './timeline.ts';

export interface ReportOptions {
  /** When the folder was looked at. */
  generated: Date;
}

/**
 * A page about a folder that needs nothing but itself: no script, no font, no network; a policy in it forbids all three.
 * Every name and message of the backup is escaped.
 */
export function reportPage(folder: FolderDescription, { generated }: ReportOptions): string {
  const name = folder.domain.name ?? 'Backup folder';
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>Backup of ${name}</title>
<style>${new Raw(STYLE)}</style>
</head>
<body>
<header><p class="eyebrow">Backup report</p><h1>${name}</h1><p class="path">${folder.folder}</p>${verdict(folder)}</header>
<main>
${tiles(folder)}
<section aria-labelledby="time"><div class="head"><h2 id="time">Timeline</h2>${levelLegend(folder)}</div>
${folder.points.length + folder.unfinished.length === 0 ? html`<p class="fine">The folder holds no restore point.</p>` : timeline(folder)}</section>
${
  folder.regions.length === 0
    ? ''
    : html`<section aria-labelledby="disks"><div class="head"><h2 id="disks">Disks</h2></div>${diskMaps(folder)}</section>`
}
<section aria-labelledby="health"><div class="head"><h2 id="health">Chain health</h2></div>${chainHealth(folder)}</section>
${
  folder.points.length + folder.unfinished.length === 0
    ? ''
    : html`<section aria-labelledby="points"><div class="head"><h2 id="points">Restore points</h2></div>${pointList(folder)}</section>`
}
</main>
<footer><p>Made <time datetime="${generated.toISOString()}">${generated.toISOString().slice(0, 16).replace('T', ' ')} UTC</time> from the headers of the files.
Their content was not read: <code>virtnbd verify</code> compares every checksum.</p></footer>
</body>
</html>
`.text;
}

function verdict({ totals, unfinished, problems }: FolderDescription): Html {
  const bad = totals.points - totals.complete;
  const errors = problems.filter(({ severity }) => severity === 'error').length;
  if (totals.points === 0) return banner('warn', 'There is nothing to restore here.');
  if (bad > 0) {
    const which =
      totals.points === 1
        ? 'The restore point'
        : bad === totals.points
          ? 'All restore points'
          : `${bad} of ${totals.points} restore points`;
    return banner('bad', `${which} cannot be restored in full. See chain health.`);
  }
  if (errors > 0)
    return banner('bad', 'All restore points are complete, but there are files that do not belong. See chain health.');
  const all =
    totals.points === 1 ? 'The restore point is complete.' : `All ${totals.points} restore points are complete.`;
  return unfinished.length > 0 ? banner('warn', `${all} A run has not ended.`) : banner('good', all);
}

function banner(kind: 'good' | 'warn' | 'bad', text: string): Html {
  return html`<p class="verdict ${kind}"><i></i>${text}</p>`;
}
