import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { readStream, type StreamPart } from '../src/index.ts';
import { FIXTURES, faithfulPoints, foldersWithPoints } from './fixtures.ts';
import { data, meta, stop, trailer } from './raw-frames.ts';
import { lz4Frame, smallFile } from './writing.ts';
import { adler32OfZlib } from './zlib-adler32.ts';

/** What a file holds: a disk in memory, and how the file ended. */
async function readAll(input: AsyncIterable<Uint8Array>, base = Buffer.alloc(0)) {
  let disk = base;
  let end: StreamPart | undefined;
  for await (const part of readStream(input)) {
    if (part.kind === 'meta') {
      if (!part.meta.incremental) disk = Buffer.alloc(Math.min(part.meta.virtualSize, 2 ** 28));
    } else if (part.kind === 'zero') disk.fill(0, part.start, part.start + part.length);
    else if (part.kind === 'data') disk.set(part.bytes, part.start);
    else end = part;
  }
  return { disk, end };
}

async function* pieces(bytes: Uint8Array, ...cuts: number[]): AsyncGenerator<Uint8Array> {
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    yield bytes.subarray(from, cut);
    from = cut;
  }
}

for (const compression of [undefined, 'lz4', 'zstd'] as const) {
  describe(`a small ${compression ?? 'uncompressed'} file from a pipe`, async () => {
    const { bytes } = await smallFile(compression);
    const whole = await readAll(pieces(bytes));

    test('ends with its size and its Adler-32', () => {
      expect(whole.end).toEqual({
        kind: 'end',
        size: bytes.length,
        adler32: adler32OfZlib(bytes),
        dataFrames: 2,
        zeroFrames: 1,
      });
    });

    test('reads the same cut in two at every byte', async () => {
      for (let cut = 0; cut <= bytes.length; cut++) {
        expect((await readAll(pieces(bytes, cut))).disk.equals(whole.disk), `cut at ${cut}`).toBe(true);
      }
    });

    test('reads the same in portions of every small size', async () => {
      for (let step = 1; step < 50; step++) {
        const cuts = Array.from({ length: Math.ceil(bytes.length / step) - 1 }, (_, i) => (i + 1) * step);
        expect((await readAll(pieces(bytes, ...cuts))).disk.equals(whole.disk), `portions of ${step}`).toBe(true);
      }
    });

    test('cut off at any byte is refused as cut off', async () => {
      for (let size = 0; size < bytes.length; size++) {
        await expect(readAll(pieces(bytes.subarray(0, size))), `${size} bytes`).rejects.toMatchObject({
          code: expect.stringMatching(/^(TRUNCATED|BAD_PAYLOAD)$/),
        });
      }
    });

    test('with a byte added at its end is refused', async () => {
      await expect(readAll(pieces(Buffer.concat([bytes, Buffer.of(0)])))).rejects.toMatchObject({
        code: 'BAD_TRAILER',
        fileOffset: bytes.length,
      });
    });
  });
}

describe('files of the established tool', () => {
  for (const folder of foldersWithPoints()) {
    test(`${folder}: a pipe gives what the files hold, and the Adler-32 that the tool noted`, async () => {
      let disk = Buffer.alloc(0);
      for (const { file, sha256 } of faithfulPoints(folder)) {
        const bytes = readFileSync(join(FIXTURES, folder, file));
        const read = await readAll(Readable.from(pieces(bytes, 1000, 70_000)), disk);
        disk = read.disk;
        expect(createHash('sha256').update(disk).digest('hex'), file).toBe(sha256);
        const noted = readFileSync(join(FIXTURES, folder, `${file}.chksum`), 'latin1').trim();
        expect(read.end).toMatchObject({ adler32: Number(noted), size: bytes.length });
      }
    });
  }
});

describe('reading a stream', () => {
  test('a large plain frame comes in the portions of the input', async () => {
    const file = Buffer.concat([meta({ virtualSize: 2 ** 20, dataSize: 500_000 }), data(0, 500_000), stop]);
    const parts: StreamPart[] = [];
    for await (const part of readStream(pieces(file, 100_000, 300_000))) parts.push(part);
    expect(parts.map(({ kind }) => kind)).toEqual(['meta', 'data', 'data', 'data', 'end']);
  });

  test('pulls no more of the input than it needs for the next part', async () => {
    const { bytes } = await smallFile();
    let pulled = 0;
    async function* slow() {
      for (let i = 0; i < bytes.length; i += 10, pulled += 10) yield bytes.subarray(i, i + 10);
    }
    const reading = readStream(slow());
    const first = await reading.next();
    expect(first.value).toMatchObject({ kind: 'meta' });
    const afterMeta = pulled;
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(pulled).toBe(afterMeta);
    expect(pulled).toBeLessThan(bytes.length / 2);
    await reading.return();
  });

  test('closes its input when the reader ends early, and when the file is damaged', async () => {
    const { bytes } = await smallFile();
    for (const input of [bytes, Buffer.concat([bytes.subarray(0, 400), Buffer.alloc(2000)])]) {
      let closed = false;
      async function* watched() {
        try {
          for (let i = 0; i < input.length; i += 100) yield input.subarray(i, i + 100);
        } finally {
          closed = true;
        }
      }
      try {
        for await (const part of readStream(watched())) if (part.kind === 'data' && input === bytes) break;
      } catch (error) {
        expect(error).toHaveProperty('code');
      }
      expect(closed).toBe(true);
    }
  });

  test('ends with the reason of the signal', async () => {
    const reason = new Error('enough');
    const reading = readStream(pieces((await smallFile()).bytes), { signal: AbortSignal.abort(reason) });
    await expect(reading.next()).rejects.toBe(reason);
  });

  test('begins its messages with the name', async () => {
    const reading = readStream(pieces(Buffer.alloc(100)), { name: 'vda.full.data' });
    await expect(reading.next()).rejects.toMatchObject({ file: 'vda.full.data', code: 'BAD_FRAME_HEADER' });
  });

  const guest = Buffer.alloc(100, 'abc');
  test.each<[string, string, (size: number) => string]>([
    ['too few entries', 'BAD_TRAILER', () => '[]'],
    ['too many entries', 'BAD_TRAILER', (size) => `[${size}, ${size}]`],
    ['a wrong size', 'BAD_TRAILER', (size) => `[${size - 1}]`],
    ['a letter', 'BAD_TRAILER', (size) => `[${size}c]`],
    ['an array that does not end', 'BAD_TRAILER', (size) => `[${size}`],
    ['a plain entry', 'fine', (size) => `[${size}]`],
    ['an entry of one piece', 'fine', (size) => `[{"${size}": [${size}]}]`],
    ['white space', 'fine', (size) => ` [ ${size} ] \n`],
  ])('%s in the trailer: %s', async (_, code, json) => {
    const payload = await lz4Frame(guest);
    const file = Buffer.concat([
      meta({ compressed: true }),
      data(0, 100, payload),
      stop,
      trailer(json(payload.length)),
    ]);
    const outcome = await readAll(pieces(file)).then(
      () => 'fine',
      (error: { code: string }) => error.code,
    );
    expect(outcome).toBe(code);
  });

  test('a compressed file without data frames may lack its trailer, and a level of 0 may stand for plain', async () => {
    await readAll(pieces(Buffer.concat([meta({ compressed: 2, dataSize: 0 }), stop])));
    await readAll(pieces(Buffer.concat([meta({ compressed: 0 }), data(0, 100), stop])));
    const lz4 = await lz4Frame(guest);
    await readAll(
      pieces(Buffer.concat([meta({ compressed: 0 }), data(0, 100, lz4), stop, trailer(`[${lz4.length}]`)])),
    );
  });
});
