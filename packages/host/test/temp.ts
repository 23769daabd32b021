import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';

const folders: string[] = [];

afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

/** A folder of its own, removed after the test. Its name is awkward on purpose. */
export async function tempFolder(parent = tmpdir()): Promise<string> {
  const folder = await mkdtemp(join(parent, 'host [test] '));
  folders.push(folder);
  return folder;
}

/** The names that a path must survive. */
export const oddNames = [
  'with space',
  ' leading',
  'trailing ',
  '[brackets]{a,b}*?',
  'ünïcode ☃ 漢字',
  `quotes ' " \``,
  'new\nline',
  '-o',
  '$HOME;#&|',
  '%s\\n',
  'back\\slash',
] as const;
