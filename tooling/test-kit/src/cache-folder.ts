import { mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** What is made once and kept: VIRTNBD_CACHE, else virtnbd below XDG_CACHE_HOME or ~/.cache. */
export async function cacheFolder(name: string): Promise<string> {
  const base = process.env.VIRTNBD_CACHE || join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'virtnbd');
  const path = join(base, name);
  await mkdir(path, { recursive: true });
  return path;
}
