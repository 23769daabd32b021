import { execFileSync } from 'node:child_process';
import { mkdir, open, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { requires } from '@virtnbd/test-kit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { alignedBuffer, LocalHost } from '../src/index.ts';
import { tempFolder } from './temp.ts';

const MIB = 1 << 20;
const host = new LocalHost();

/** Bytes that differ from page to page and from seed to seed. */
function filled(buffer: Buffer, seed: number): Buffer {
  for (let at = 0; at + 4 <= buffer.length; at += 4) buffer.writeUInt32LE((at * 31 + seed) >>> 0, at);
  return buffer;
}

function aligned(length: number, seed: number): Buffer {
  return filled(alignedBuffer(length), seed);
}

/** Bytes of the file that the page cache holds. */
function cached(path: string): number {
  return Number(execFileSync('fincore', ['--bytes', '--noheadings', '--output', 'RES', path], { encoding: 'utf8' }));
}

describe.skipIf(requires('root', 'fincore', 'mkfs.ext4', 'mkfs.xfs').skip).each([
  ['ext4', 'mkfs.ext4', ['-q', '-F']],
  ['xfs', 'mkfs.xfs', ['-q']],
] as const)('on %s', (_name, mkfs, options) => {
  const size = mkfs === 'mkfs.xfs' ? 320 * MIB : 64 * MIB;
  let image: string;
  let folder: string;

  beforeAll(async () => {
    image = join(execFileSync('mktemp', ['-d'], { encoding: 'utf8' }).trim(), 'image');
    folder = `${image}.mounted`;
    const file = await open(image, 'w');
    await file.truncate(size);
    await file.close();
    execFileSync(mkfs, [...options, image]);
    await mkdir(folder);
    execFileSync('mount', ['-o', 'loop', image, folder]);
  });
  afterAll(async () => {
    execFileSync('umount', [folder]);
    await rm(join(image, '..'), { recursive: true });
  });

  test('whole pages of aligned memory pass by the page cache, appended or at a place', async () => {
    const path = join(folder, 'direct');
    await using file = await host.files.open(path, 'create', { direct: true });
    const pieces = [aligned(MIB, 1), aligned(MIB, 2), aligned(MIB, 3)];
    await Promise.all(pieces.map((piece) => file.write([piece])));
    await file.writeAt(5 * MIB, pieces[0] ?? Buffer.alloc(0));
    expect(cached(path)).toBe(0);
    expect(await file.size()).toBe(6 * MIB);
    expect(Buffer.concat([...pieces, Buffer.alloc(2 * MIB), aligned(MIB, 1)]).equals(await readFile(path))).toBe(true);
    await rm(path);
  });

  test('the blocks of what is going to be written are set aside, and the writes go where they would', async () => {
    const path = join(folder, 'allocated');
    await using file = await host.files.open(path, 'create', { direct: true });
    await file.allocate?.(4 * MIB);
    const { size: length, blocks } = await stat(path);
    expect([length, blocks * 512 >= 4 * MIB]).toEqual([4 * MIB, true]);
    const pieces = [1, 2, 3, 4].map((seed) => aligned(MIB, seed));
    await Promise.all([...pieces, Buffer.from('the end')].map((piece) => file.write([piece])));
    expect(Buffer.concat([...pieces, Buffer.from('the end')]).equals(await readFile(path))).toBe(true);
    await rm(path);
  });

  test('more than there is leaves it to the writes to say so; without the wish there is nothing to set aside', async () => {
    const path = join(folder, 'too much');
    await using file = await host.files.open(path, 'create', { direct: true });
    await file.allocate?.(10 * size);
    await file.write([aligned(MIB, 1)]);
    expect(aligned(MIB, 1).equals((await readFile(path)).subarray(0, MIB))).toBe(true);
    await rm(path);
    await using usual = await host.files.open(path, 'create');
    await usual.allocate?.(MIB);
    expect(await usual.size()).toBe(0);
    await rm(path);
  });

  test('without the wish they do not', async () => {
    const path = join(folder, 'cached');
    await using file = await host.files.open(path, 'create');
    await file.write([aligned(MIB, 1)]);
    expect(cached(path)).toBe(MIB);
    await rm(path);
  });

  test('what is no whole page, and memory that is not aligned, is written in its order among the rest', async () => {
    const path = join(folder, 'mixed');
    await using file = await host.files.open(path, 'create', { direct: true });
    const lengths = [MIB, 5000, MIB, MIB - 5000, MIB, 1, 3 * MIB, 4095, 64 << 10];
    const pieces = lengths.map((length, i) => (i % 4 === 3 ? filled(Buffer.alloc(length), i) : aligned(length, i)));
    await Promise.all(pieces.map((piece) => file.write([piece.subarray(0, 4096), piece.subarray(4096)])));
    await Promise.all(pieces.map((piece) => file.write([piece])));
    await file.writeAt(0, filled(Buffer.allocUnsafeSlow(2 * MIB), 7).subarray(0, MIB));
    await file.sync();
    const wanted = Buffer.concat([...pieces, ...pieces]);
    filled(Buffer.alloc(2 * MIB), 7).copy(wanted, 0, 0, MIB);
    expect(wanted.equals(await readFile(path))).toBe(true);
    await rm(path);
  });

  test('on a full disk the write says so, and so does every later one', async () => {
    const path = join(folder, 'full');
    await using file = await host.files.open(path, 'create', { direct: true });
    const piece = aligned(16 * MIB, 1);
    const writes = Array.from({ length: Math.ceil(size / piece.length) + 1 }, () => file.write([piece]));
    const results = await Promise.allSettled(writes);
    expect(results[0]?.status).toBe('fulfilled');
    const first = results.findIndex(({ status }) => status === 'rejected');
    for (const result of results.slice(first)) expect(result).toMatchObject({ reason: { code: 'NO_SPACE', path } });
    await expect(file.write([piece.subarray(0, 10)])).rejects.toMatchObject({ code: 'NO_SPACE', path });
    await rm(path);
  });
});

test('a file system without such writes takes all of it', async () => {
  await using file = await host.files.open(join(await tempFolder('/dev/shm'), 'f'), 'create', { direct: true });
  await file.write([aligned(MIB, 1)]);
  await file.writeAt(MIB, aligned(MIB, 2));
  expect(Buffer.concat([aligned(MIB, 1), aligned(MIB, 2)]).equals(await readFile(file.path))).toBe(true);
});
