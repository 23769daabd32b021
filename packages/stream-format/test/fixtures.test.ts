import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Adler32, StreamFile } from '../src/index.ts';
import { applyFrames, FIXTURES, faithfulPoints, fixtureSource, foldersWithPoints, sha256 } from './fixtures.ts';

describe('files of the established tool', () => {
  for (const folder of foldersWithPoints()) {
    test(`${folder}: applying the frames gives what the files hold`, async () => {
      let disk = new Uint8Array(0);
      for (const { file, sha256: expected } of faithfulPoints(folder)) {
        const stream = await StreamFile.open(fixtureSource(folder, file), { name: file });
        if (!stream.meta.incremental) disk = new Uint8Array(stream.meta.virtualSize);
        await applyFrames(stream, disk);
        expect(sha256(disk), file).toBe(expected);
      }
    });

    test(`${folder}: the Adler-32 of each file is the one that the tool noted`, () => {
      for (const { file } of faithfulPoints(folder)) {
        const adler32 = new Adler32();
        adler32.update(readFileSync(join(FIXTURES, folder, file)));
        const noted = readFileSync(join(FIXTURES, folder, `${file}.chksum`), 'latin1');
        expect(String(adler32.value), file).toBe(noted.trim());
      }
    });
  }

  test('a frame of 32 MiB and more is read through its cut pieces, at any offset', async () => {
    const file = await StreamFile.open(fixtureSource('lz4-cut-frames', 'vda.copy.data'));
    expect(file.index.length(0)).toBe(83886080);
    await expect(file.payload(0)).rejects.toMatchObject({ code: 'LIMIT' });
    const middle = await file.piece(0, 40 * 1024 * 1024);
    expect([middle.start, middle.bytes.length]).toEqual([32 * 1024 * 1024, 32 * 1024 * 1024]);
    expect(await file.pieceStart(0, 64 * 1024 * 1024 - 1)).toBe(middle.start);
    const across = new Uint8Array(4096);
    await file.read(0, middle.start - 2048, across);
    expect(Buffer.compare(across.subarray(2048), middle.bytes.subarray(0, 2048))).toBe(0);
  });

  test('an interrupted file is refused as cut off', async () => {
    const opened = StreamFile.open(fixtureSource('interrupted-partial', 'vda.copy.data.partial'), { name: 'partial' });
    await expect(opened).rejects.toMatchObject({ code: 'TRUNCATED', file: 'partial' });
  });

  test('a raw image is refused as no stream file', async () => {
    const opened = StreamFile.open(fixtureSource('type-raw-full', 'vda.full.data'));
    await expect(opened).rejects.toMatchObject({ code: 'BAD_FRAME_HEADER', fileOffset: 0 });
  });

  test('meta keys of each file are read as they are', async () => {
    const diff = await StreamFile.open(fixtureSource('offline-diff', 'vda.diff.1795421550.data'));
    expect(diff.meta).toEqual({
      virtualSize: 16777216,
      dataSize: 65536,
      date: '2026-11-23T08:12:30.434784',
      diskName: 'vda',
      diskFormat: 'qcow2',
      checkpointName: 'virtnbdbackup.1',
      compressed: false,
      compressionMethod: 'lz4',
      parentCheckpoint: 'virtnbdbackup.1',
      incremental: true,
      streamVersion: 2,
      extra: {},
    });
  });
});
