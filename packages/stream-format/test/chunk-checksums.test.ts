import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesSource, ChunkChecksums, ChunkHasher, checkedSource, type RandomAccessSource } from '../src/index.ts';

const CHUNK = 4096;

function checksumsOf(bytes: Uint8Array, chunkSize = CHUNK): ChunkChecksums {
  const hasher = new ChunkHasher(chunkSize);
  hasher.update(bytes);
  return hasher.finish();
}

describe('ChunkHasher', () => {
  test('gives the CRC-32 of each chunk, however the bytes come', () => {
    fc.assert(
      fc.property(fc.nat(20_000), fc.array(fc.nat(20_000), { maxLength: 6 }), (length, cuts) => {
        const bytes = randomBytes(length);
        const hasher = new ChunkHasher(CHUNK);
        let from = 0;
        for (const cut of [...cuts.filter((cut) => cut < length).sort((a, b) => a - b), length]) {
          hasher.update(bytes.subarray(from, cut));
          from = cut;
        }
        const chunks = hasher.finish();
        expect([chunks.fileSize, chunks.count]).toEqual([length, Math.ceil(length / CHUNK)]);
        for (let i = 0; i < chunks.count; i++) {
          expect(chunks.crc(i)).toBe(crc32(bytes.subarray(i * CHUNK, (i + 1) * CHUNK)));
        }
      }),
    );
  });

  test.each([0, 4095, 4097, 32 * 1024 * 1024, Number.NaN])('refuses a chunk size of %d', (size) => {
    expect(() => new ChunkHasher(size)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });

  test('zeroes that are only told count like zeroes that are given', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat({ max: 3 * CHUNK })), { maxLength: 8 }), (parts) => {
        const [told, given] = [new ChunkHasher(CHUNK), new ChunkHasher(CHUNK)];
        for (const [zero, length] of parts) {
          const bytes = new Uint8Array(length).fill(zero ? 0 : 7);
          given.update(bytes);
          if (zero) told.updateZeroes(length);
          else told.update(bytes);
        }
        expect(told.finish().encode()).toEqual(given.finish().encode());
      }),
    );
  });
});

describe('the chunk checksum file', () => {
  const chunks = checksumsOf(randomBytes(3 * CHUNK + 5));
  const encoded = Buffer.from(chunks.encode());

  test('is read back as it was written', () => {
    const decoded = ChunkChecksums.decode(encoded);
    expect([decoded.chunkSize, decoded.fileSize, decoded.count]).toEqual([CHUNK, 3 * CHUNK + 5, 4]);
    expect([0, 1, 2, 3].map((i) => decoded.crc(i))).toEqual([0, 1, 2, 3].map((i) => chunks.crc(i)));
  });

  test('of an empty file has no chunk', () => {
    expect(ChunkChecksums.decode(checksumsOf(Buffer.alloc(0)).encode()).count).toBe(0);
  });

  test('is refused when it is cut off anywhere, longer, or has any bit flipped', () => {
    const refused = expect.objectContaining({ code: expect.stringMatching(/^(BAD_CHECKSUM_FILE|UNSUPPORTED)$/) });
    for (let size = 0; size < encoded.length; size++) {
      expect(() => ChunkChecksums.decode(encoded.subarray(0, size))).toThrow(refused);
    }
    expect(() => ChunkChecksums.decode(Buffer.concat([encoded, Buffer.alloc(4)]))).toThrow(refused);
    for (let bit = 0; bit < encoded.length * 8; bit++) {
      const damaged = Buffer.from(encoded);
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(() => ChunkChecksums.decode(damaged), `bit ${bit}`).toThrow(refused);
    }
  });
});

describe('checkedSource', () => {
  test('gives the bytes of any read, and refuses exactly those that touch a damaged chunk', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 10 * CHUNK }),
        fc.nat(),
        fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 1, maxLength: 8 }),
        async (size, damage, ranges) => {
          const bytes = randomBytes(size);
          const chunks = checksumsOf(bytes);
          const bad = damage % size;
          const badChunk = Math.floor(bad / CHUNK);
          const damaged = Buffer.from(bytes);
          damaged[bad] = (damaged[bad] ?? 0) ^ 1;
          const whole = checkedSource(bytesSource(bytes), chunks);
          const broken = checkedSource(bytesSource(damaged), chunks);
          for (const [a, b] of ranges) {
            const offset = a % size;
            const buffer = Buffer.alloc(1 + (b % (size - offset)));
            await whole.read(offset, buffer);
            expect(buffer.equals(bytes.subarray(offset, offset + buffer.length))).toBe(true);
            const first = Math.floor(offset / CHUNK);
            const last = Math.floor((offset + buffer.length - 1) / CHUNK);
            const read = broken.read(offset, buffer);
            if (first <= badChunk && badChunk <= last) {
              await expect(read).rejects.toMatchObject({ code: 'CHECKSUM', fileOffset: badChunk * CHUNK });
            } else await read;
          }
        },
      ),
    );
  });

  test('reads every byte once when the file is read from start to end in pieces that do not fit the chunks', async () => {
    const bytes = randomBytes(64 * CHUNK + 17);
    let read = 0;
    const inner = bytesSource(bytes);
    const counting: RandomAccessSource = {
      size: inner.size,
      read(offset, buffer) {
        read += buffer.length;
        return inner.read(offset, buffer);
      },
    };
    const source = checkedSource(counting, checksumsOf(bytes));
    for (let offset = 0; offset < bytes.length; offset += 5000) {
      await source.read(offset, Buffer.alloc(Math.min(5000, bytes.length - offset)));
    }
    expect(read).toBe(bytes.length);
  });

  test('small reads all over a file read their chunk once, and later their own blocks alone', async () => {
    const chunkSize = 64 * 1024;
    const bytes = randomBytes(100 * chunkSize);
    const chunks = checksumsOf(bytes, chunkSize);
    let read = 0;
    const inner = bytesSource(bytes);
    const counting: RandomAccessSource = {
      size: inner.size,
      read(offset, buffer) {
        read += buffer.length;
        return inner.read(offset, buffer);
      },
    };
    const source = checkedSource(counting, chunks);
    const pass = async (step: number) => {
      for (let offset = 0; offset + 4096 <= bytes.length; offset += step) {
        const buffer = Buffer.alloc(4096);
        await source.read(offset, buffer);
        expect(buffer.equals(bytes.subarray(offset, offset + 4096))).toBe(true);
      }
    };
    await pass(chunkSize / 2 - 100);
    expect(read).toBe(bytes.length);
    read = 0;
    await pass(chunkSize + 300);
    expect(read).toBeLessThan(102 * 3 * 4096);
  });

  test('damage that comes after a chunk was found whole is seen by the next small read of it', async () => {
    const chunkSize = 64 * 1024;
    const bytes = Buffer.from(randomBytes(100 * chunkSize));
    const source = checkedSource(bytesSource(bytes), checksumsOf(bytes, chunkSize));
    for (let offset = 0; offset < bytes.length; offset += chunkSize) await source.read(offset, Buffer.alloc(10));
    bytes[5000] = (bytes[5000] ?? 0) ^ 1;
    await source.read(100, Buffer.alloc(100));
    await expect(source.read(4990, Buffer.alloc(20))).rejects.toMatchObject({ code: 'CHECKSUM', fileOffset: 0 });
    await expect(source.read(0, Buffer.alloc(chunkSize))).rejects.toMatchObject({ code: 'CHECKSUM', fileOffset: 0 });
  });

  test('a chunk with damage anywhere gives nothing to a small read elsewhere in it, however often it is asked', async () => {
    const chunkSize = 64 * 1024;
    const size = 2 * chunkSize - 1000;
    for (const damaged of [0, 4096, chunkSize - 1, chunkSize, size - 1]) {
      const bytes = Buffer.from(randomBytes(size));
      const source = checkedSource(bytesSource(bytes), checksumsOf(bytes, chunkSize));
      bytes[damaged] = (bytes[damaged] ?? 0) ^ 1;
      const fileOffset = damaged < chunkSize ? 0 : chunkSize;
      for (let time = 0; time < 2; time++) {
        const read = source.read(fileOffset + 20_000, Buffer.alloc(100));
        await expect(read).rejects.toMatchObject({ code: 'CHECKSUM', fileOffset });
        await source.read(chunkSize - fileOffset + 20_000, Buffer.alloc(100));
      }
    }
  });

  test('a read that failed is tried again at the next', async () => {
    const bytes = randomBytes(100);
    const inner = bytesSource(bytes);
    let attempts = 0;
    const flaky: RandomAccessSource = {
      size: 100,
      read: (offset, buffer) => (attempts++ === 0 ? Promise.reject(new Error('EIO')) : inner.read(offset, buffer)),
    };
    const source = checkedSource(flaky, checksumsOf(bytes));
    await expect(source.read(10, Buffer.alloc(10))).rejects.toThrow('EIO');
    await source.read(10, Buffer.alloc(10));
  });

  test('a file of another size is refused at once', () => {
    const chunks = checksumsOf(randomBytes(100));
    expect(() => checkedSource(bytesSource(randomBytes(99)), chunks)).toThrow(
      expect.objectContaining({ code: 'CHECKSUM', fileOffset: 99 }),
    );
  });

  test('a read outside the file is refused', async () => {
    const bytes = randomBytes(100);
    const source = checkedSource(bytesSource(bytes), checksumsOf(bytes));
    await expect(source.read(99, Buffer.alloc(2))).rejects.toMatchObject({ code: 'OUT_OF_RANGE' });
  });
});
