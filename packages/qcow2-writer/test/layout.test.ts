import { join } from 'node:path';
import { requires, type TempFolder, tempFolder } from '@virtnbd/test-kit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Qcow2Error, Qcow2Layout } from '../src/index.ts';
import { createdArea, GIB, KIB, MIB } from './support.ts';

let folder: TempFolder;
beforeAll(async () => {
  folder = await tempFolder();
});
afterAll(() => folder.remove());

const created = (size: number, ...options: string[]): Promise<Buffer> =>
  createdArea(join(folder.path, 'created.qcow2'), size, options);

describe.skipIf(requires('qemu-img').skip)('a layout', () => {
  test('takes size and features from the image', async () => {
    const { header, unit } = new Qcow2Layout(await created(GIB, 'extended_l2=on', 'refcount_bits=8'));
    expect(header).toEqual({
      version: 3,
      clusterBytes: 64 * KIB,
      size: GIB,
      l1Entries: 4,
      refcountBits: 8,
      extendedL2: true,
    });
    expect(unit).toBe(2 * KIB);
  });

  test('puts the clusters of the disk behind one another, and each L2 table behind its own', async () => {
    const layout = new Qcow2Layout(await created(2 * GIB));
    const pieces = [...layout.place(100, 1), ...layout.place(MIB, 2 * MIB), ...layout.place(GIB, 512)];
    const places = pieces.map((piece) => [piece.kind, piece.offset / (64 * KIB)]);
    expect(places).toEqual([
      ['guest', 1],
      ['guest', 2],
      ['table', 34],
      ['guest', 35],
    ]);
    expect([...layout.finish()].map(({ offset }) => offset / (64 * KIB))).toEqual([36, 37, 38, 39]);
    expect(layout.fileBytes).toBe(40 * 64 * KIB);
  });

  test('places a cluster once, however many ranges lie in it', async () => {
    const layout = new Qcow2Layout(await created(GIB));
    expect([...layout.place(0, 512), ...layout.place(1024, 512), ...layout.place(4096, 64 * KIB)]).toEqual([
      { kind: 'guest', offset: 64 * KIB, start: 0, length: 64 * KIB },
      { kind: 'guest', offset: 128 * KIB, start: 64 * KIB, length: 64 * KIB },
    ]);
  });

  test('refuses ranges out of order, past the end, or after it was finished', async () => {
    const layout = new Qcow2Layout(await created(MIB));
    expect(() => [...layout.place(MIB - 512, 513)]).toThrow(RangeError);
    expect(() => layout.fileBytes).toThrow(RangeError);
    expect([...layout.place(4096, 512)]).toHaveLength(1);
    expect(() => [...layout.place(4097, 512)]).toThrow(RangeError);
    expect([...layout.finish()]).toHaveLength(4);
    expect(() => [...layout.place(8192, 512)]).toThrow(RangeError);
  });

  test('says when the disk holds more than the refcounts of small clusters can count', async () => {
    const area = await created(MIB, 'cluster_size=512', 'refcount_bits=64');
    // qemu-img itself takes ten seconds for one of that size.
    area.writeBigUInt64BE(BigInt(40 * GIB), 24);
    area.writeUInt32BE((40 * GIB) / (32 * KIB), 36);
    const layout = new Qcow2Layout(area);
    expect(() => [...layout.place(0, 40 * GIB)]).toThrow(expect.objectContaining({ code: 'TOO_LARGE' }));
  });
});

describe.skipIf(requires('qemu-img').skip)('a header', () => {
  /** Puts a number of 32 bits into it. */
  const changed = async (offset: number, value: number, ...options: string[]): Promise<Buffer> => {
    const area = await created(MIB, ...options);
    area.writeUInt32BE(value, offset);
    return area;
  };
  const codeOf = (area: Uint8Array): string => {
    try {
      return `taken: ${new Qcow2Layout(area).header.version}`;
    } catch (error) {
      if (error instanceof Qcow2Error) return error.code;
      throw error;
    }
  };

  test.each([
    ['of version 4', 4, 4],
    ['with a backing file', 12, 1024],
    ['with encryption', 32, 1],
    ['with snapshots', 60, 1],
    ['with a dirty bit', 76, 1],
    ['with a data file', 76, 4],
    ['with an incompatible feature that nobody knows', 76, 32],
    ['with an incompatible feature of the upper half', 72, 1],
    ['with bitmaps', 92, 1],
    ['with an extension that may name places', 112, 0x23852875],
  ])('%s is of an image that is not written', async (_, offset, value) => {
    expect(codeOf(await changed(offset, value))).toBe('UNSUPPORTED');
  });

  test.each([
    ['without its magic number', 0, 0],
    ['with clusters of 256 bytes', 20, 8],
    ['with clusters of 4 MiB', 20, 22],
    ['with a disk of more than 2^53 bytes', 24, 2 ** 22],
    ['with too few entries for its disk', 36, 0],
    ['with more entries than qemu reads', 36, 2 ** 22 + 1],
    ['with refcounts of 128 bits', 96, 7],
    ['that is shorter than one can be', 100, 96],
    ['without an end', 116, 2 ** 31],
  ])('%s is none', async (_, offset, value) => {
    expect(codeOf(await changed(offset, value))).toBe('BAD_HEADER');
  });

  test('with subclusters of less than 512 bytes is none', async () => {
    expect(codeOf(await changed(20, 13, 'extended_l2=on'))).toBe('BAD_HEADER');
  });

  test('with a compatible feature that nobody knows is taken', async () => {
    expect(codeOf(await changed(80, 1))).toBe('taken: 3');
  });

  test('that is cut short anywhere is none, or whole', async () => {
    const area = await created(MIB);
    const end = area.indexOf(Buffer.alloc(8), 112 + 8 + 384) + 8;
    for (let length = 0; length < end; length++)
      expect(codeOf(area.subarray(0, length)), `${length}`).toBe('BAD_HEADER');
    expect(codeOf(area.subarray(0, end))).toBe('taken: 3');
    expect(codeOf((await created(MIB, 'compat=0.10')).subarray(0, 80))).toBe('taken: 2');
  });
});
