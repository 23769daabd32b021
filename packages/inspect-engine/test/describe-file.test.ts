import { readdir, readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { type FrameSpec, fixtures, host, KIB, MIB, makePoint } from '@virtnbd/sample-sets';
import { expect, test } from 'vitest';
import { describeFile } from '../src/index.ts';
import { copyOfFixture, tempFolder } from './temp.ts';

const sum = (values: readonly number[] = []): number => values.reduce((total, value) => total + value, 0);

async function dataFiles(): Promise<string[]> {
  const files = await readdir(fixtures, { recursive: true });
  return files.filter((file) => file.endsWith('.data')).map((file) => join(fixtures, file));
}

test('every data file of the fixtures is described, and the figures add up', async () => {
  for (const path of await dataFiles()) {
    const { kind, statistics, header, map, histogram, frames, fileBytes } = await describeFile(host, path, {
      frames: true,
    });
    expect(fileBytes).toBe((await readFile(path)).length);
    if (kind === 'raw') continue;
    expect(statistics?.dataBytes).toBe(header?.dataSize);
    expect((statistics?.dataBytes ?? 0) + (statistics?.zeroBytes ?? 0) + (statistics?.absentBytes ?? 0)).toBe(
      header?.virtualSize,
    );
    expect([sum(map?.data), sum(map?.zero)]).toEqual([statistics?.dataBytes, statistics?.zeroBytes]);
    expect(sum(histogram.map(({ dataFrames }) => dataFrames))).toBe(statistics?.dataFrames);
    expect(sum(histogram.map(({ zeroBytes }) => zeroBytes))).toBe(statistics?.zeroBytes);
    const all = [...(frames ?? [])];
    expect(all).toHaveLength((statistics?.dataFrames ?? 0) + (statistics?.zeroFrames ?? 0));
    expect(sum(all.map(({ storedLength }) => storedLength))).toBe(statistics?.storedBytes);
  }
});

test('compression is told with its level and ratio', async () => {
  const { header, statistics } = await describeFile(host, join(fixtures, 'lz4-cut-frames/vda.copy.data'));
  expect(header).toMatchObject({ compression: 'lz4', compressionLevel: 2, disk: 'vda', incremental: false });
  expect(statistics?.ratio).toBeGreaterThan(200);
});

test('a raw image is said to be none of our files', async () => {
  const { kind, state, header } = await describeFile(host, join(fixtures, 'type-raw-full/vda.full.data'));
  expect([kind, state, header]).toEqual(['raw', 'complete', null]);
});

test('an unfinished file shows its header, and what is wrong', async () => {
  const path = join(fixtures, 'interrupted-partial/vda.copy.data.partial');
  const { state, header, problem, statistics } = await describeFile(host, path);
  expect(state).toBe('damaged');
  expect(problem?.code).toBe('TRUNCATED');
  expect(header).toMatchObject({ disk: 'vda', virtualSize: 16 * MIB });
  expect(statistics).toBeNull();
});

test('a file cut off anywhere is described without an error', async () => {
  const folder = await copyOfFixture('lz4-with-zeroed-ranges');
  const path = join(folder, 'vda.inc.virtnbdbackup.1.data');
  for (let size = (await readFile(path)).length - 1; size >= 0; size -= 7) {
    await truncate(path, size);
    const { state, kind } = await describeFile(host, path);
    expect(kind === 'raw' || state === 'damaged').toBe(true);
  }
});

test('a file with 100 000 extents is described', async () => {
  const folder = await tempFolder();
  const fill = new Uint8Array(512).fill(7);
  const frames = Array.from(
    { length: 100_000 },
    (_, index): FrameSpec =>
      index % 2 === 0 ? { start: index * 4096, length: 512, fill } : { start: index * 4096, length: 512, zero: true },
  );
  const virtualSize = 512 * MIB;
  await makePoint(folder, { number: 0, disks: [{ virtualSize, frames }] });
  const { statistics, map } = await describeFile(host, join(folder, 'vda.full.data'), { cells: 64 });
  expect(statistics).toMatchObject({ dataFrames: 50_000, zeroFrames: 50_000, dataBytes: 25_000 * KIB });
  expect(map?.count).toBe(64);
});

test('a file that is not there is said to be missing', async () => {
  await expect(describeFile(host, '/nowhere')).rejects.toMatchObject({ code: 'NOT_FOUND' });
});
