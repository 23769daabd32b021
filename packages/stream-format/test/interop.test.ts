import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { requires, run, tempFolder } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { encodeFrameHeader } from '../src/frames/frame-header.ts';
import { encodeMeta } from '../src/frames/meta.ts';
import { bytesSource, StreamFile } from '../src/index.ts';
import { metaOf, payloadOf, writeStream } from './writing.ts';

/** By its full path: a program of ours has the same name and may come first on the PATH. */
const ESTABLISHED_RESTORE = '/usr/bin/virtnbdrestore';

describe.skipIf(requires('lz4').skip)('with the lz4 program', () => {
  test('it decompresses the frames that we write', async () => {
    await using folder = await tempFolder();
    for (const length of [1, 65536, 65537, 1 << 20, 5 << 20]) {
      const payload = payloadOf(length);
      const { bytes } = await writeStream(length, [{ start: 0, length, payload }], { compression: 'lz4' });
      const { index } = await StreamFile.open(bytesSource(bytes));
      const path = join(folder.path, 'frame.lz4');
      await writeFile(path, bytes.subarray(index.fileOffset(0), index.fileOffset(0) + index.storedLength(0)));
      await run('lz4', ['-d', '-f', '-q', path, join(folder.path, 'frame')]);
      expect(Buffer.compare(await readFile(join(folder.path, 'frame')), payload)).toBe(0);
    }
  });

  test.each([
    ['small linked blocks, block checksums, content size', ['-B4', '-BD', '-BX', '--content-size']],
    ['small independent blocks', ['-B4', '-BI']],
    ['large blocks, no checksum at all', ['-B7', '--no-frame-crc']],
    ['the highest level', ['-12', '-B5', '-BX']],
  ])('we decompress its frames: %s', async (_, options) => {
    await using folder = await tempFolder();
    for (const length of [1, 65536, 300_000, 9 << 20]) {
      const payload = payloadOf(length);
      const [plain, packed] = [join(folder.path, 'plain'), join(folder.path, 'packed')];
      await writeFile(plain, payload);
      await run('lz4', [...options, '-f', '-q', plain, packed]);
      const file = await StreamFile.open(bytesSource(compressedFile(payload.length, await readFile(packed))));
      expect(Buffer.compare(await file.payload(0), payload)).toBe(0);
    }
  });
});

const noEstablished = requires('virtnbdbackup').skip || !existsSync(ESTABLISHED_RESTORE);

test.skipIf(noEstablished)("the established tool's restore reads our headers", async () => {
  await using folder = await tempFolder();
  const writer = { name: 'virtnbd', version: '1.2.3' };
  const frames = [
    { start: 0, length: 65536, payload: payloadOf(65536) },
    { start: 65536, length: 1 << 20 },
  ];
  const full = await writeStream(1 << 24, frames, { meta: { writer } });
  const incremental = { parentCheckpoint: 'virtnbdbackup.0', incremental: true, writer };
  const first = { ...incremental, checkpointName: 'virtnbdbackup.1' };
  const inc = await writeStream(1 << 24, frames, { compression: 'lz4', meta: first });
  const second = { ...incremental, checkpointName: 'virtnbdbackup.2', parentCheckpoint: 'virtnbdbackup.1' };
  const empty = await writeStream(1 << 24, [], { compression: 'lz4', meta: second });
  await writeFile(join(folder.path, 'vda.full.data'), full.bytes);
  await writeFile(join(folder.path, 'vda.inc.virtnbdbackup.1.data'), inc.bytes);
  await writeFile(join(folder.path, 'vda.inc.virtnbdbackup.2.data'), empty.bytes);
  const log = join(folder.path, 'log');
  const { stdout } = await run(ESTABLISHED_RESTORE, ['-i', folder.path, '-o', 'dump', '-L', log]);
  const headers: unknown = JSON.parse(stdout);
  expect(headers).toMatchObject([
    {
      dataSize: 65536,
      compressed: false,
      checkpointName: 'virtnbdbackup.0',
      incremental: false,
      streamVersion: 2,
      writer,
    },
    { dataSize: 65536, compressed: 2, checkpointName: 'virtnbdbackup.1', incremental: true, writer },
    { dataSize: 0, compressed: 2, checkpointName: 'virtnbdbackup.2', incremental: true, writer },
  ]);
});

function compressedFile(length: number, lz4: Uint8Array): Buffer {
  const meta = encodeMeta({ ...metaOf(length, length), compressed: true });
  const trailer = `[${lz4.length}]`;
  return Buffer.concat([
    encodeFrameHeader('meta', 0, meta.length),
    meta,
    Buffer.from('\r\n'),
    encodeFrameHeader('data', 0, length),
    lz4,
    Buffer.from('\r\n'),
    encodeFrameHeader('stop', 0, 0),
    Buffer.from(`${trailer}\r\n`),
    encodeFrameHeader('comp', 0, trailer.length),
  ]);
}
