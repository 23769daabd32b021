import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Ways in which a text may stand in a log, a URI, JSON, XML or a header. */
export function spellings(text: string): string[] {
  const xml = text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;');
  const encoded = [encodeURIComponent(text), encodeURI(text), JSON.stringify(text).slice(1, -1), xml];
  return [...new Set([text, ...encoded, Buffer.from(text).toString('base64'), Buffer.from(text).toString('hex')])];
}

/**
 * Processes that show the text among their arguments or in their environment, this one apart.
 *
 * @param given a process whose environment holds it from the start
 */
export async function processesWith(text: string, given?: number): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
    for (const file of Number(pid) === given ? ['cmdline'] : ['cmdline', 'environ']) {
      const content = await readFile(`/proc/${pid}/${file}`, 'latin1').catch(() => '');
      if (spellings(text).some((spelling) => content.includes(spelling)))
        found.push(`${pid} ${file}: ${content.replaceAll('\0', ' ').slice(0, 200)}`);
    }
  }
  return found;
}

/** Files below the folders that hold the text. */
export async function filesWith(text: string, folders: readonly string[]): Promise<string[]> {
  const found = new Set<string>();
  for (const folder of folders) {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
    for (const entry of entries.filter((each) => each.isFile())) {
      const path = join(entry.parentPath, entry.name);
      const content = await readFile(path);
      if (spellings(text).some((spelling) => content.includes(spelling))) found.add(path);
    }
  }
  return [...found].sort();
}
