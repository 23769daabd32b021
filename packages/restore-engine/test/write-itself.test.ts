import { mkdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HostError } from '@virtnbd/host';
import { host, KIB, MIB } from '@virtnbd/sample-sets';
import { requires, type TempFolder, tempFolder } from '@virtnbd/test-kit';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createImage, type NewImage } from '../src/target/image-server.ts';
import type { WriteFileOptions } from '../src/target/write-file.ts';
import { writeItself } from '../src/target/write-itself.ts';
import { failingHost } from './failing-host.ts';
import { ModelDisk, modelDisk } from './model-disk.ts';
import { run } from './support.ts';

let folder: TempFolder;
beforeAll(async () => {
  folder = await tempFolder();
});
afterAll(() => folder.remove());

/** Creates an image and writes the disk to it. @returns whether this was done without a server */
async function write(image: NewImage, disk: ModelDisk, options: WriteFileOptions = {}, where = host): Promise<boolean> {
  await createImage(host, image);
  return await writeItself(where, image, disk, options);
}

/** The same, where it must be. @returns the bytes that were told as written */
async function writeAll(image: NewImage, disk: ModelDisk): Promise<number> {
  let done = 0;
  const onBytes = (bytes: number): void => {
    done += bytes;
  };
  expect(await write(image, disk, { onBytes })).toBe(true);
  return done;
}

function imageOf(disk: ModelDisk, format: NewImage['format'], ...options: string[]): NewImage {
  return { path: join(folder.path, `disk.${format}`), format, size: disk.size, options };
}

/** Fails if the image is not sound, or does not hold the disk. */
async function requireSame({ path, format }: NewImage, disk: ModelDisk): Promise<void> {
  const raw = join(folder.path, 'model.raw');
  await writeFile(raw, disk.bytes);
  if (format === 'qcow2') await run('qemu-img', 'check', '-q', '-f', format, path);
  await run('qemu-img', 'compare', '-q', '-f', format, '-F', 'raw', path, raw);
}

const options = fc.oneof(
  fc.integer({ min: 9, max: 21 }).map((bits) => [`cluster_size=${2 ** bits}`]),
  fc.integer({ min: 14, max: 21 }).map((bits) => ['extended_l2=on', `cluster_size=${2 ** bits}`]),
);

describe.skipIf(requires('qemu-img').skip)('a new image that is written without a server', () => {
  test('of format qcow2 holds the disk, whatever its clusters are and whoever knows where the data lies', async () => {
    await fc.assert(
      fc.asyncProperty(modelDisk, options, async (disk, chosen) => {
        const image = imageOf(disk, 'qcow2', ...chosen);
        expect(await writeAll(image, disk)).toBe(disk.dataBytes);
        await requireSame(image, disk);
      }),
      { numRuns: 30 },
    );
  });

  test('of format raw holds the disk, and has its size', async () => {
    await fc.assert(
      fc.asyncProperty(modelDisk, async (disk) => {
        const image = imageOf(disk, 'raw');
        expect(await writeAll(image, disk)).toBe(disk.dataBytes);
        const found = await readFile(image.path);
        expect(found.length).toBe(Math.ceil(disk.size / 512) * 512);
        expect(found.subarray(0, disk.size).equals(disk.bytes)).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  test.each(['qcow2', 'raw'] as const)(
    'of format %s holds nothing for zeroes of which nobody had told',
    async (format) => {
      const disk = new ModelDisk(64 * MIB, [{ start: 20 * MIB + 8 * KIB, length: 4 * KIB }], { sparseUnknown: true });
      const image = imageOf(disk, format);
      expect(await write(image, disk)).toBe(true);
      await requireSame(image, disk);
      expect((await stat(image.path)).blocks * 512).toBeLessThan(MIB);
      expect((await stat(image.path)).size).toBe(format === 'raw' ? disk.size : 6 * 64 * KIB);
    },
  );

  test('whose windows are of hundreds of pieces holds the disk', async () => {
    const extents = Array.from({ length: 20_000 }, (_, number) => ({ start: number * 4096 + 512, length: 1024 }));
    const disk = new ModelDisk(80 * MIB, extents);
    for (const image of [imageOf(disk, 'qcow2', 'cluster_size=512'), imageOf(disk, 'raw')]) {
      expect(await write(image, disk)).toBe(true);
      await requireSame(image, disk);
    }
  });

  test('is not begun on another host, nor where clusters have their places already: those are as they were', async () => {
    const disk = new ModelDisk(MIB, [{ start: 0, length: MIB }]);
    const image = imageOf(disk, 'qcow2');
    const elsewhere = new Proxy(host, {
      get: (target, key) => (key === 'name' ? 'root@elsewhere' : Reflect.get(target, key)),
    });
    expect(await write(image, disk, {}, elsewhere)).toBe(false);
    expect(await write({ ...image, preallocate: true }, disk)).toBe(false);
    await run('qemu-img', 'check', '-q', '-f', 'qcow2', image.path);
    expect(await write({ ...imageOf(disk, 'vmdk') }, disk)).toBe(false);
  });

  test('is left to qemu where its header has something that is not known here', async () => {
    const disk = new ModelDisk(MIB, [{ start: 0, length: MIB }]);
    const image = imageOf(disk, 'qcow2');
    await createImage(host, image);
    const before = await readFile(image.path);
    before.writeUInt32BE(1 << 20, 76);
    await writeFile(image.path, before);
    expect(await writeItself(host, image, disk, {})).toBe(false);
    expect((await readFile(image.path)).equals(before)).toBe(true);
  });

  test.each(['qcow2', 'raw'] as const)('of format %s ends at once when it is told to', async (format) => {
    const disk = new ModelDisk(64 * MIB, [{ start: 0, length: 64 * MIB }]);
    const stop = new AbortController();
    let done = 0;
    const onBytes = (bytes: number): void => {
      done += bytes;
      stop.abort(new Error('enough'));
    };
    await expect(write(imageOf(disk, format), disk, { onBytes, signal: stop.signal })).rejects.toThrow('enough');
    expect(done).toBeLessThan(32 * MIB);
    expect(disk.readsUnderWay).toBe(0);
  });

  test.each([
    ['at its start', 0],
    ['in its middle', 5 * MIB],
    ['at its end', 8 * MIB - 1],
  ])('fails with its disk, when that cannot be read %s, and leaves no read under way', async (_, failsAt) => {
    for (const sparseUnknown of [false, true]) {
      const disk = new ModelDisk(8 * MIB, [{ start: 0, length: 8 * MIB }], { sparseUnknown, failsAt });
      await expect(write(imageOf(disk, 'qcow2'), disk)).rejects.toThrow('cannot be read');
      expect(disk.readsUnderWay).toBe(0);
    }
  });

  test('says what the system says where it cannot be written, in whichever call', async () => {
    const disk = new ModelDisk(8 * MIB, [{ start: 0, length: 8 * MIB }]);
    const image = imageOf(disk, 'qcow2');
    for (const broken of ['writeAt', 'truncate', 'sync']) {
      await createImage(host, image);
      const why = new HostError('IO', 'the disk is broken');
      const failing = failingHost((_, name) => (name === broken ? why : undefined));
      await expect(writeItself(failing.host, image, disk, {})).rejects.toMatchObject({
        code: 'WRITE_FAILED',
        message: `${image.path} could not be written: the disk is broken`,
      });
    }
  });
});

describe.skipIf(requires('qemu-img', 'root', 'losetup', 'mkfs.ext4').skip)('a new image on a full file system', () => {
  test.each(['qcow2', 'raw'] as const)('says so: %s', async (format) => {
    const device = join(folder.path, 'device');
    const mounted = join(folder.path, 'mounted');
    await writeFile(device, '');
    await truncate(device, 32 * MIB);
    await run('mkfs.ext4', '-q', '-F', device);
    await mkdir(mounted, { recursive: true });
    await run('mount', '-o', 'loop', device, mounted);
    try {
      const disk = new ModelDisk(64 * MIB, [{ start: 0, length: 64 * MIB }]);
      const image = { ...imageOf(disk, format), path: join(mounted, 'disk') };
      const text = `there is no space left for ${image.path}; make room, or restore elsewhere`;
      await expect(write(image, disk)).rejects.toMatchObject({ code: 'NO_SPACE', message: text });
    } finally {
      await run('umount', mounted);
    }
  });
});
