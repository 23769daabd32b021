import { createHash } from 'node:crypto';
import { cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fixtures, host, KIB, MIB, makePoint, wholeDisk } from '@virtnbd/sample-sets';
import { tempFolder } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { openFileChain } from '../src/index.ts';

const FULL = 'vda.full.data';
const FIRST = 'vda.inc.virtnbdbackup.1.data';
const SECOND = 'vda.inc.virtnbdbackup.2.data';

/** A full and two increments, each of which changes the first block. */
async function threePoints(folder: string): Promise<void> {
  const change = (fill: number) => [{ virtualSize: MIB, frames: [{ start: 0, length: 64 * KIB, fill }] }];
  await makePoint(folder, { number: 0, disks: [{ virtualSize: MIB, frames: wholeDisk(MIB, 128 * KIB, 1) }] });
  await makePoint(folder, { number: 1, disks: change(2) });
  await makePoint(folder, { number: 2, disks: change(3) });
}

async function firstByte(folder: string, ...names: string[]): Promise<number | undefined> {
  await using disk = await openFileChain(
    host,
    names.map((name) => join(folder, name)),
  );
  const byte = new Uint8Array(1);
  await disk.source.read(0, byte);
  return byte[0];
}

describe('openFileChain', () => {
  test('the files of a chain, in order, are the disk at the last one', async () => {
    await using folder = await tempFolder();
    await threePoints(folder.path);
    expect(await firstByte(folder.path, FULL)).toBe(1);
    expect(await firstByte(folder.path, FULL, FIRST)).toBe(2);
    expect(await firstByte(folder.path, FULL, FIRST, SECOND)).toBe(3);
  });

  for (const [what, names] of [
    ['a gap', [FULL, SECOND]],
    ['another order', [FULL, SECOND, FIRST]],
    ['no full', [FIRST, SECOND]],
    ['a file twice', [FULL, FIRST, FIRST]],
  ] as const) {
    test(`${what} is refused, and the right list is told`, async () => {
      await using folder = await tempFolder();
      await threePoints(folder.path);
      const refused = openFileChain(
        host,
        names.map((name) => join(folder.path, name)),
      );
      await expect(refused).rejects.toMatchObject({
        code: 'SEQUENCE',
        message: expect.stringContaining(`${FULL}, ${FIRST}`),
      });
    });
  }

  test('a file of another folder is refused', async () => {
    await using folder = await tempFolder();
    await using other = await tempFolder();
    await threePoints(folder.path);
    await threePoints(other.path);
    const refused = openFileChain(host, [join(folder.path, FULL), join(other.path, FIRST)]);
    await expect(refused).rejects.toMatchObject({ code: 'SEQUENCE' });
  });

  test('a name that is no file of a backup is refused by name', async () => {
    await using folder = await tempFolder();
    await threePoints(folder.path);
    const refused = openFileChain(host, [join(folder.path, 'vda.inc.virtnbdbackup.7.data')]);
    await expect(refused).rejects.toMatchObject({ code: 'SEQUENCE', file: 'vda.inc.virtnbdbackup.7.data' });
  });

  test('files of the established tool give what they hold', async () => {
    await using folder = await tempFolder();
    await cp(join(fixtures, 'lz4-cut-frames'), folder.path, { recursive: true });
    const [line = ''] = (await readFile(join(folder.path, 'FAITHFUL.sha256'), 'utf8')).split('\n');
    const [sha256 = '', name = ''] = line.split(' ');
    await using disk = await openFileChain(host, [join(folder.path, name)]);
    const hash = createHash('sha256');
    const buffer = new Uint8Array(MIB);
    for (let offset = 0; offset < disk.source.size; offset += MIB) {
      const part = buffer.subarray(0, Math.min(MIB, disk.source.size - offset));
      await disk.source.read(offset, part);
      hash.update(part);
    }
    expect(hash.digest('hex')).toBe(sha256);
  });
});
