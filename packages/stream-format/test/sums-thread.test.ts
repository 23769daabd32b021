import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { FileSums } from '../src/checks/file-sums.ts';
import { ChunkHasher } from '../src/index.ts';
import { segmentMemory } from '../src/write/segment-memory.ts';
import { adler32OfZlib } from './zlib-adler32.ts';

const SEGMENT = 1 << 20;

async function sumsOf(segments: readonly Uint8Array[], chunkSize?: number) {
  const sums = new FileSums(chunkSize);
  await Promise.all(segments.map((segment) => sums.update(segment)));
  const { adler32, chunks } = await sums.finish(new Uint8Array(0));
  return { adler32, size: chunks.fileSize, crcs: Array.from({ length: chunks.count }, (_, i) => chunks.crc(i)) };
}

/** The segments in memory that threads share. */
function shared(bytes: Uint8Array): Uint8Array[] {
  const memory = new Uint8Array(new SharedArrayBuffer(bytes.length));
  memory.set(bytes);
  return Array.from({ length: Math.ceil(bytes.length / SEGMENT) }, (_, i) =>
    memory.subarray(i * SEGMENT, (i + 1) * SEGMENT),
  );
}

test.each([
  ['whole segments', 5 * SEGMENT, undefined],
  ['a last one that is shorter', 5 * SEGMENT + 12_345, undefined],
  ['less than a chunk', 777, undefined],
  ['nothing', 0, undefined],
  ['small chunks', 3 * SEGMENT + 4096, 4096],
  ['chunks of several segments', 5 * SEGMENT + 1, 2 * SEGMENT],
  ['bytes that are all ones: the largest sums', 4 * SEGMENT, 'ones'],
] as const)('sums made beside the main thread are those of the file: %s', async (_, length, how) => {
  const bytes = how === 'ones' ? Buffer.alloc(length, 0xff) : randomBytes(length);
  const chunkSize = typeof how === 'number' ? how : undefined;
  const hasher = new ChunkHasher(chunkSize);
  hasher.update(bytes);
  const wanted = hasher.finish();
  expect(await sumsOf(shared(bytes), chunkSize)).toEqual({
    adler32: adler32OfZlib(bytes),
    size: length,
    crcs: Array.from({ length: wanted.count }, (_unused, i) => wanted.crc(i)),
  });
});

test('sums made where the bytes are, without a copy, are those of the file', async () => {
  const { segments, kernel } = segmentMemory(3, false);
  expect(kernel).toBeTypeOf('function');
  const bytes = randomBytes(2 * SEGMENT + 12_345);
  const sums = new FileSums();
  for (let at = 0; at < bytes.length; at += SEGMENT) {
    const part = bytes.subarray(at, at + SEGMENT);
    const segment = segments.pop()?.subarray(0, part.length) ?? new Uint8Array(0);
    segment.set(part);
    await sums.update(segment, kernel);
  }
  const { adler32, chunks } = await sums.finish(new Uint8Array(0));
  expect(adler32).toBe(adler32OfZlib(bytes));
  expect(chunks.fileSize).toBe(bytes.length);
});

test('files that are written at the same time do not mix', async () => {
  const files = Array.from({ length: 5 }, (_, i) => randomBytes((i + 1) * SEGMENT));
  const all = await Promise.all(files.map((bytes) => sumsOf(shared(bytes))));
  expect(all.map(({ adler32 }) => adler32)).toEqual(files.map(adler32OfZlib));
});
