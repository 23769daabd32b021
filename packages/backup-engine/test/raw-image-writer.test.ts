import { randomBytes } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalHost } from '@virtnbd/host';
import { ChunkHasher } from '@virtnbd/stream-format';
import { expect, test } from 'vitest';
import { RawImageWriter } from '../src/copy/raw-image-writer.ts';

const MIB = 1 << 20;

async function write(size: number, frames: (writer: RawImageWriter) => Promise<unknown>[]) {
  const { files } = new LocalHost();
  const folder = await files.makeTempFolder(tmpdir(), 'raw-image.');
  try {
    const path = join(folder, 'image');
    await using file = await files.open(path, 'create');
    const writer = new RawImageWriter(file, size);
    await Promise.all(frames(writer));
    const result = await writer.finish();
    await file.sync();
    return { ...result, bytes: await readFile(path), blocks: (await stat(path)).blocks };
  } finally {
    await files.removeFolder(folder, { recursive: true });
  }
}

test('frames become the image, whatever of them is still under way, and the checksums are those of its bytes', async () => {
  const data = randomBytes(MIB);
  const { size, bytes, chunks } = await write(3 * MIB + 512, (writer) => [
    writer.zero(0, 4096),
    writer.data(4096, data),
    writer.zero(4096 + MIB, 2 * MIB - 4096),
    writer.data(3 * MIB, data.subarray(0, 512)),
  ]);
  const expected = Buffer.concat([Buffer.alloc(4096), data, Buffer.alloc(2 * MIB - 4096), data.subarray(0, 512)]);
  expect([size, bytes.equals(expected)]).toEqual([expected.length, true]);
  const hasher = new ChunkHasher();
  hasher.update(expected);
  expect(Buffer.from(chunks.encode()).equals(hasher.finish().encode())).toBe(true);
});

test('zeroes take no room, whether they are told as such or read', async () => {
  const { bytes, blocks } = await write(17 * MIB, (writer) => [
    writer.zero(0, 16 * MIB),
    writer.data(16 * MIB, new Uint8Array(MIB)),
  ]);
  expect([bytes.length, blocks]).toEqual([17 * MIB, 0]);
});

test('an image that was not written to its end is refused', async () => {
  await expect(write(2 * MIB, (writer) => [writer.zero(0, MIB)])).rejects.toThrow(/ends at/);
});

test('a write that fails ends the writer with its error', async () => {
  const full = new Error('no space');
  const file = { writeAt: () => Promise.reject(full), truncate: () => Promise.resolve() };
  const writer = new RawImageWriter(file, MIB);
  await expect(writer.data(0, randomBytes(MIB))).rejects.toBe(full);
  await expect(writer.finish()).rejects.toBe(full);
});

test('the checksums of a disk of 16 TiB stay small', async () => {
  const file = { writeAt: () => Promise.resolve(), truncate: () => Promise.resolve() };
  const size = 16 * 2 ** 40;
  const writer = new RawImageWriter(file, size);
  await writer.zero(0, size);
  expect((await writer.finish()).chunks.encode().length).toBeLessThan(5 * MIB);
});
