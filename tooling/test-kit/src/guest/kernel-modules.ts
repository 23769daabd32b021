import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';
import { run } from '../programs.ts';

export interface KernelModule {
  readonly file: string;
  readonly data: Uint8Array;
}

/**
 * The modules with all that they depend on, in the order to load them. A name without a file is built into the kernel.
 * Package files carry no modules.dep; a module itself says `depends=a,b` in its section .modinfo.
 */
export async function collectModules(folder: string, wanted: readonly string[]): Promise<KernelModule[]> {
  const paths = new Map<string, string>();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const stem = /^(.*)\.ko(\.xz|\.zst)?$/.exec(entry.name)?.[1];
    if (stem !== undefined && entry.isFile()) paths.set(stem.replaceAll('-', '_'), join(entry.parentPath, entry.name));
  }
  const modules = new Map<string, KernelModule | null>();
  const add = async (name: string): Promise<void> => {
    const path = paths.get(name);
    if (path === undefined || modules.has(name)) return;
    modules.set(name, null);
    const data = await readModule(path);
    const depends = /(?:^|\0)depends=([^\0]*)\0/.exec(Buffer.from(data).toString('latin1'))?.[1] ?? '';
    for (const other of depends.split(',')) await add(other.replaceAll('-', '_'));
    modules.delete(name); // to the end, behind what it needs
    modules.set(name, { file: `${name}.ko`, data });
  };
  for (const name of wanted) await add(name);
  return [...modules.values()].filter((module) => module !== null);
}

async function readModule(path: string): Promise<Uint8Array> {
  if (path.endsWith('.zst')) return zstdDecompressSync(await readFile(path));
  if (!path.endsWith('.xz')) return readFile(path);
  const copy = `${path}.copy.xz`;
  await run('cp', [path, copy]);
  await run('xz', ['-d', '-f', copy]);
  return readFile(copy.slice(0, -3));
}
