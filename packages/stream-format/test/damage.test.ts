import { describe, expect, test } from 'vitest';
import { bytesSource, checkedSource, type RandomAccessSource, StreamFile, StreamFormatError } from '../src/index.ts';
import { applyFrames } from './fixtures.ts';
import { makeSeeds } from './fuzz/seeds.ts';
import { smallFile } from './writing.ts';

/** The disk that a file holds, or the error of this package that says why not. Any other error fails the test. */
async function outcome(source: () => RandomAccessSource): Promise<Buffer | StreamFormatError> {
  try {
    const file = await StreamFile.open(source());
    const disk = Buffer.alloc(file.meta.virtualSize);
    await applyFrames(file, disk);
    return disk;
  } catch (error) {
    if (error instanceof StreamFormatError) return error;
    throw error;
  }
}

for (const compression of [undefined, 'lz4', 'zstd'] as const) {
  describe(`a small ${compression ?? 'uncompressed'} file`, async () => {
    const { bytes, summary } = await smallFile(compression);
    const right = await outcome(() => bytesSource(bytes));

    test('cut off at any byte is refused, also without checksums', async () => {
      for (let size = 0; size < bytes.length; size++) {
        expect(await outcome(() => bytesSource(bytes.subarray(0, size))), `${size} bytes`).toBeInstanceOf(
          StreamFormatError,
        );
      }
    });

    test('cut off at any byte is refused as such through its checksums', async () => {
      for (let size = 0; size < bytes.length; size++) {
        const cut = await outcome(() => checkedSource(bytesSource(bytes.subarray(0, size)), summary.chunks));
        expect(cut).toMatchObject({ code: 'CHECKSUM', fileOffset: size });
      }
    });

    test('with any one bit flipped is refused through its checksums', async () => {
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const damaged = flip(bytes, bit);
        expect(await outcome(() => checkedSource(bytesSource(damaged), summary.chunks)), `bit ${bit}`).toMatchObject({
          code: 'CHECKSUM',
        });
      }
    });

    test('with any one bit flipped never ends in a foreign error without checksums', async () => {
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const damaged = flip(bytes, bit);
        if (hugeDisk(damaged)) continue;
        await outcome(() => bytesSource(damaged));
      }
    });

    test('with any byte added at its end is refused', async () => {
      for (let byte = 0; byte < 256; byte++) {
        const longer = Buffer.concat([bytes, Buffer.of(byte)]);
        expect(await outcome(() => bytesSource(longer))).toBeInstanceOf(StreamFormatError);
      }
    });

    test('is right when it is whole', () => {
      expect(Buffer.isBuffer(right)).toBe(true);
    });
  });
}

test('a flipped bit in an LZ4 payload is found by the checksums of the LZ4 frame alone', async () => {
  const { bytes } = await smallFile('lz4');
  const { index } = await StreamFile.open(bytesSource(bytes));
  for (const frame of [0, 2]) {
    const start = index.fileOffset(frame) * 8;
    for (let bit = start; bit < start + index.storedLength(frame) * 8; bit++) {
      const file = await StreamFile.open(bytesSource(flip(bytes, bit)));
      await expect(file.payload(frame), `bit ${bit}`).rejects.toMatchObject({
        code: expect.stringMatching(/^(BAD_PAYLOAD|UNSUPPORTED)$/),
      });
    }
  }
});

function flip(bytes: Buffer, bit: number): Buffer {
  const damaged = Buffer.from(bytes);
  damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return damaged;
}

/** A digit of virtualSize may become a larger one; such a disk is right to open and too large for this test's memory. */
function hugeDisk(bytes: Buffer): boolean {
  const size = /"virtualSize": (\d+)/.exec(bytes.toString('latin1'))?.[1];
  return Number(size ?? 0) > 2 ** 20;
}

describe.each(['version 1', 'cut lz4'])('a small file, %s', async (name) => {
  const seed = (await makeSeeds()).find((known) => known.name === name);
  if (seed === undefined) throw new Error(name);
  const step = name === 'version 1' ? 1 : 7; // every bit of every byte in the one, of each place in turn in the other

  test('cut off at any byte is refused, also without checksums', async () => {
    for (let size = 0; size < seed.bytes.length; size += step) {
      expect(await outcome(() => bytesSource(seed.bytes.subarray(0, size)))).toBeInstanceOf(StreamFormatError);
    }
  });

  test('with any one bit flipped is refused through its checksums, or right', async () => {
    for (let bit = 0; bit < seed.bytes.length * 8; bit += step) {
      const found = await outcome(() => checkedSource(bytesSource(flip(seed.bytes, bit)), seed.checksums));
      if (Buffer.isBuffer(found)) expect(found.equals(seed.disk), `bit ${bit}`).toBe(true);
      else expect(found).toMatchObject({ code: 'CHECKSUM' });
    }
  });
});
