import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fixtures, host } from '@virtnbd/sample-sets';
import { expect, test } from 'vitest';
import { describeFile, describeFolder, diffPoints, jsonText, verifyFolder } from '../src/index.ts';
import { copyOfFixture } from './temp.ts';

const folder = join(fixtures, 'plain-full-inc-inc-diff');

/** The keys of a table of SCHEMA.md: the first one after a text. */
async function documented(after: string): Promise<string[]> {
  const text = await readFile(new URL('../SCHEMA.md', import.meta.url), 'utf8');
  const from = text.indexOf(after);
  expect(from).toBeGreaterThan(-1);
  const table = text.slice(from).split('\n|---|---|\n')[1]?.split('\n\n')[0] ?? '';
  return table
    .split('\n')
    .flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`([A-Za-z]+)`/g)].map(([, key = '']) => key));
}

const keysOf = (value: unknown): string[] => Object.keys(JSON.parse([...jsonText(value)].join('')));

test('every key of a folder is documented, and the other way round', async () => {
  const description = await describeFolder(host, folder);
  const [point] = description.points;
  for (const [value, place] of [
    [description, '## `virtnbd-folder`'],
    [point, '\nA point:'],
    [point?.disks[0], '\nA disk of a point:'],
    [description.regions[0], '\nRegions of a disk'],
  ] as const) {
    expect(keysOf(value).sort()).toEqual((await documented(place)).sort());
  }
});

test('every key of a file, a verification and a comparison is documented', async () => {
  const damaged = await copyOfFixture('plain-full-inc-inc-diff');
  await host.files.remove(join(damaged, 'vda.full.data'));
  const verified = await verifyFolder(host, damaged);
  const file = await describeFile(host, join(folder, 'vda.full.data'), { frames: true });
  const diff = await diffPoints(host, folder, 'virtnbdbackup.0', 'latest');
  for (const [value, place] of [
    [file, '## `virtnbd-file`'],
    [verified, '## `virtnbd-verify`'],
    [diff, '## `virtnbd-diff`'],
    [diff.disks[0], '\nA disk:'],
  ] as const) {
    expect(keysOf(value).sort()).toEqual((await documented(place)).sort());
  }
  const broken = await verifyFolder(host, await flipped());
  expect(keysOf(broken.damage[0]).sort()).toEqual((await documented('Damage of a file')).sort());
  const text = await readFile(new URL('../SCHEMA.md', import.meta.url), 'utf8');
  for (const key of [
    ...keysOf(file.header),
    ...keysOf(file.statistics),
    ...keysOf(file.histogram[0]),
    ...keysOf([...(file.frames ?? [])][0]),
    ...keysOf(broken.files[0]),
    ...keysOf(broken.points[0]),
  ])
    expect(text).toMatch(new RegExp(`\\b${key}\\b`));
});

async function flipped(): Promise<string> {
  const copy = await copyOfFixture('offline-copy');
  const path = join(copy, 'vda.copy.data');
  const bytes = await readFile(path);
  bytes[5000] = (bytes[5000] ?? 0) ^ 1;
  await host.files.writeAtomic(path, bytes);
  return copy;
}
