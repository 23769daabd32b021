import { mkdir, open, readFile, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { run } from '@virtnbd/test-kit';
import { MIB } from './make-point.ts';

/** A file system and what is in it: path → text. */
export interface FileSystemSpec {
  readonly type: 'ext4' | 'xfs';
  /** Bytes; xfs needs 300 MiB. */
  readonly size: number;
  readonly label?: string;
  /** ext4 only: mkfs takes them along. */
  readonly files?: Readonly<Record<string, string>>;
}

/** Makes a file system in a new file, without root. */
export async function makeFileSystem(path: string, spec: FileSystemSpec): Promise<void> {
  await writeFile(path, '');
  await truncate(path, spec.size);
  const label = spec.label === undefined ? [] : ['-L', spec.label];
  if (spec.type === 'xfs') {
    await run('mkfs.xfs', ['-q', ...label, path]);
    return;
  }
  const tree = `${path}.tree`;
  await mkdir(tree);
  for (const [name, text] of Object.entries(spec.files ?? {})) {
    await mkdir(dirname(join(tree, name)), { recursive: true });
    await writeFile(join(tree, name), text);
  }
  await run('mkfs.ext4', ['-q', '-d', tree, ...label, path]);
}

/** Where sfdisk has put a partition, in bytes. */
export interface Placed {
  readonly number: number;
  readonly start: number;
  readonly length: number;
}

/** Makes a partition table. @param script for sfdisk, a line a partition */
export async function makePartitions(path: string, size: number, script: string): Promise<Placed[]> {
  await writeFile(path, '');
  await truncate(path, size);
  await run('sfdisk', ['--quiet', path], { input: script });
  return await partitionsOf(path);
}

async function partitionsOf(path: string): Promise<Placed[]> {
  const { stdout } = await run('sfdisk', ['--json', path]);
  const table: {
    partitiontable: { sectorsize?: number; partitions?: { node: string; start: number; size: number }[] };
  } = JSON.parse(stdout);
  const { sectorsize = 512, partitions = [] } = table.partitiontable;
  return partitions.map(({ node, start, size }) => {
    return { number: Number(/\d+$/.exec(node)?.[0]), start: start * sectorsize, length: size * sectorsize };
  });
}

/** Copies one image into another, at an offset. */
export async function place(image: string, target: string, offset: number): Promise<void> {
  const bytes = await readFile(image);
  await using file = await open(target, 'r+');
  for (let at = 0; at < bytes.length; at += MIB) {
    const part = bytes.subarray(at, at + MIB);
    if (part.some((byte) => byte !== 0)) await file.write(part, 0, part.length, offset + at);
  }
}

/** Writes a file into an ext4 image, without mounting it. */
export async function writeInto(image: string, name: string, text: string): Promise<void> {
  const source = `${image}.${name}`;
  await writeFile(source, text);
  await run('debugfs', ['-w', '-R', `write ${source} ${name}`, image]);
}
