import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fixtures } from '@virtnbd/sample-sets';
import { afterEach } from 'vitest';

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

/** An empty folder with an awkward name, removed after the test. */
export async function tempFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "virtnbd inspect [é'] "));
  folders.push(folder);
  return folder;
}

/** A copy of a fixture that may be damaged. */
export async function copyOfFixture(name: string): Promise<string> {
  const folder = await tempFolder();
  await cp(join(fixtures, name), folder, { recursive: true });
  return folder;
}
