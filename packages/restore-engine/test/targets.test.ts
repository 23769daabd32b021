import { cp, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fixtures, host, KIB, MIB, makePoint, wholeDisk } from '@virtnbd/sample-sets';
import { requires, startQemuNbd } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { bytesOf, infoOf, notes, Place, run } from './support.ts';

const SIZE = 8 * MIB;

/** A full with 1 MiB of 0x11, and an increment that zeroes a half of that and writes 64 KiB of 0x22 at 4 MiB. */
async function twoPoints(disks: readonly string[] = ['vda']): Promise<Place> {
  const place = await Place.make();
  const full = disks.map((disk) => ({ disk, virtualSize: SIZE, frames: wholeDisk(SIZE, MIB, 0x11) }));
  await makePoint(place.backup, { number: 0, disks: full });
  const frames = [
    { start: 0, length: MIB / 2, zero: true as const },
    { start: 4 * MIB, length: 64 * KIB, fill: 0x22 },
  ];
  await makePoint(place.backup, { number: 1, disks: disks.map((disk) => ({ disk, virtualSize: SIZE, frames })) });
  return place;
}

/** What the disk held at the increment. */
function newest(): Buffer {
  const bytes = Buffer.alloc(SIZE);
  bytes.fill(0x11, MIB / 2, MIB);
  return bytes.fill(0x22, 4 * MIB, 4 * MIB + 64 * KIB);
}

describe.skipIf(requires('qemu-img', 'qemu-nbd').skip)('new images', () => {
  test.each(['qcow2', 'raw', 'vmdk', 'vdi', 'vhdx', 'vpc', 'qed', 'parallels'] as const)(
    'of format %s',
    async (format) => {
      await using place = await twoPoints();
      const { images } = await place.restore({ format, verify: true });
      const path = images[0]?.path ?? '';
      const info = await infoOf(path);
      expect(info.format).toBe(format);
      expect((await bytesOf(path, format)).subarray(0, SIZE).equals(newest())).toBe(true);
    },
  );

  test('hold nothing for what is zero', async () => {
    await using place = await twoPoints();
    await place.restore({ format: 'raw' });
    expect((await stat(join(place.target, 'vda.raw'))).blocks * 512).toBeLessThan(MIB);
    await place.restore();
    expect((await stat(join(place.target, 'vda.qcow2'))).size).toBeLessThan(2 * MIB);
  });

  test('are compressed when asked for: smaller, and the same', async () => {
    await using place = await twoPoints();
    await place.restore({ compress: true, verify: true });
    const image = join(place.target, 'vda.qcow2');
    expect((await bytesOf(image, 'qcow2')).equals(newest())).toBe(true);
    expect((await stat(image)).size).toBeLessThan(MIB / 2);
    expect(await run('qemu-img', 'check', image)).toMatch(/[1-9]\d* *\/|compressed clusters/);
  });

  test.each([
    ['qcow2', 'vda.qcow2'],
    ['raw', 'vda.raw'],
  ] as const)('have all of their space when asked for: %s', async (format, name) => {
    await using place = await twoPoints();
    await place.restore({ format, preallocate: true, verify: true });
    expect((await stat(join(place.target, name))).blocks * 512).toBeGreaterThanOrEqual(SIZE);
  });

  test('compression of another format is refused before anything is made', async () => {
    await using place = await twoPoints();
    await expect(place.restore({ format: 'raw', compress: true })).rejects.toMatchObject({ code: 'BAD_FORMAT' });
    expect(await place.restored()).toEqual([]);
  });

  test('of several disks are made at once', async () => {
    await using place = await twoPoints(['vda', 'vdb', 'vdc']);
    const { images } = await place.restore({ jobs: 3 });
    expect(images.map(({ disk }) => disk)).toEqual(['vda', 'vdb', 'vdc']);
    for (const { path } of images) expect((await bytesOf(path, 'qcow2')).equals(newest())).toBe(true);
  });

  test('have the features of the source image, and its data in a file of their own', async () => {
    await using place = await Place.make();
    const folder = join(place.backup, 'set');
    await cp(join(fixtures, 'plain-full-inc-inc-diff'), folder, { recursive: true });
    const name = join(folder, 'vda.virtnbdbackup.2.qcow.json');
    const info = JSON.parse(await readFile(name, 'utf8'));
    info['cluster-size'] = 131072;
    const data = { 'lazy-refcounts': true, 'data-file': '/images/secret, data.raw', 'data-file-raw': true };
    Object.assign(info['format-specific'].data, data);
    await writeFile(name, JSON.stringify(info));
    await place.restore({ folder, point: 'virtnbdbackup.2', verify: true });
    const dataFile = join(place.target, 'secret, data.raw');
    const found = await infoOf(join(place.target, 'disk.qcow2'));
    expect(found['cluster-size']).toBe(131072);
    expect(found.data).toMatchObject({ 'lazy-refcounts': true, 'data-file': dataFile, 'data-file-raw': true });
    expect(await place.restored()).toEqual(['disk.qcow2', 'secret, data.raw', 'vmconfig.virtnbdbackup.2.xml']);
    expect((await bytesOf(join(place.target, 'disk.qcow2'), 'qcow2')).equals(await readFile(dataFile))).toBe(true);
  });

  test('replace others of their name when forced, and only once they are complete', async () => {
    await using place = await twoPoints();
    await place.restore({ point: 'virtnbdbackup.0' });
    await expect(place.restore()).rejects.toMatchObject({ code: 'TARGET_EXISTS' });
    await truncate(join(place.backup, 'vda.inc.virtnbdbackup.1.data'), 100);
    const before = await readFile(join(place.target, 'vda.qcow2'));
    await expect(place.restore({ force: true })).rejects.toMatchObject({ code: 'DAMAGED' });
    expect((await readFile(join(place.target, 'vda.qcow2'))).equals(before)).toBe(true);
    await place.restore({ point: 'virtnbdbackup.0', force: true });
    expect(await place.restored()).toEqual(['vda.qcow2', 'vmconfig.virtnbdbackup.0.xml']);
  });

  test('are not made by a dry run, which tells what they would take', async () => {
    await using place = await twoPoints();
    const { plan, estimate, images } = await place.restore({ dryRun: true });
    expect(plan.images.map(({ disk, files }) => [disk, files])).toEqual([
      ['vda', ['vda.full.data', 'vda.inc.virtnbdbackup.1.data']],
    ]);
    const data = MIB / 2 + 64 * KIB;
    expect(estimate).toMatchObject({ disks: [{ dataBytes: data, extents: 2, virtualSize: SIZE }], spaceNeeded: data });
    expect([images, await host.files.stat(place.target)]).toEqual([[], null]);
  });

  test('are planned although another point is spoilt, and a dry run says which', async () => {
    await using place = await twoPoints();
    await truncate(join(place.backup, 'vda.inc.virtnbdbackup.1.data'), 100);
    const { estimate } = await place.restore({ dryRun: true, point: 'virtnbdbackup.0' });
    expect(estimate.points).toMatchObject([
      { id: 'virtnbdbackup.0', disks: { vda: null }, fault: null },
      { id: 'virtnbdbackup.1', disks: { vda: expect.stringContaining('has 100 bytes') }, fault: null },
    ]);
  });

  test('are read back: one that is not what was written is an error, and does not stay', async () => {
    await using place = await twoPoints();
    const spoil = async (): Promise<void> => {
      const partial = join(place.target, 'vda.qcow2.partial');
      await run('qemu-io', '-f', 'qcow2', '-c', 'write -P 3 2M 4k', partial);
    };
    // Between the write and the comparison nobody has the image open.
    const spoilingHost = new Proxy(host, {
      get: (target, key) => {
        const start: typeof host.start = async (program, args, options) => {
          if (args.includes('--read-only')) await spoil();
          return await target.start(program, args, options);
        };
        const method: unknown = key === 'start' ? start : Reflect.get(target, key);
        return typeof method === 'function' ? method.bind(target) : method;
      },
    });
    await expect(place.restore({ verify: true }, { targetHost: spoilingHost })).rejects.toMatchObject({
      code: 'VERIFY_FAILED',
      message: expect.stringContaining('bytes 2097152 to 2162688'),
    });
    expect(await place.restored()).toEqual([]);
  });
});

describe.skipIf(requires('qemu-img', 'qemu-nbd').skip)('onto an image', () => {
  test('only what differs is written', async () => {
    await using place = await twoPoints();
    await place.restore();
    const image = join(place.target, 'vda.qcow2');
    const told = notes();
    const onto = new Map([['vda', image]]);
    await place.restore({ point: 'virtnbdbackup.0', onto }, told);
    expect(told.all.join()).toContain(`${MIB / 2 + 64 * KIB} bytes differed`);
    expect((await bytesOf(image, 'qcow2')).equals(Buffer.alloc(SIZE).fill(0x11, 0, MIB))).toBe(true);
  });

  test.each([4, 16])('a disk that has %i MiB now gets the size that it had', async (size) => {
    await using place = await twoPoints();
    const image = place.path('image.qcow2');
    await run('qemu-img', 'create', '-q', '-f', 'qcow2', image, `${size}M`);
    await run('qemu-io', '-f', 'qcow2', '-c', `write -P 9 0 ${size}M`, image);
    await place.restore({ onto: new Map([['vda', image]]), verify: true });
    expect((await bytesOf(image, 'qcow2')).equals(newest())).toBe(true);
  });

  test('that somebody has open nothing is written', async () => {
    await using place = await twoPoints();
    await place.restore({ point: 'virtnbdbackup.0' });
    const image = join(place.target, 'vda.qcow2');
    await using _user = await startQemuNbd(image, { format: 'qcow2' });
    const onto = new Map([['vda', image]]);
    await expect(place.restore({ onto })).rejects.toMatchObject({ code: 'TARGET_IN_USE' });
    expect(await place.restored()).toEqual(['vda.qcow2', 'vmconfig.virtnbdbackup.0.xml']);
  });

  test('that an interrupted restore has renamed it goes on', async () => {
    await using place = await twoPoints();
    await place.restore({ point: 'virtnbdbackup.0' });
    const image = join(place.target, 'vda.qcow2');
    await host.files.rename(image, `${image}.partial`);
    await place.restore({ onto: new Map([['vda', image]]) });
    expect((await bytesOf(image, 'qcow2')).equals(newest())).toBe(true);
    expect(await place.restored()).not.toContain('vda.qcow2.partial');
  });

  test('that could not be finished says where the image is, and can be done again', async () => {
    await using place = await twoPoints();
    await place.restore({ point: 'virtnbdbackup.0' });
    const image = join(place.target, 'vda.qcow2');
    const told = notes();
    const stop = new AbortController();
    const onEvent: typeof told.onEvent = (event) => {
      told.onEvent(event);
      if (event.type === 'progress') stop.abort(new Error('enough'));
    };
    const onto = new Map([['vda', image]]);
    await expect(place.restore({ onto }, { signal: stop.signal, onEvent })).rejects.toThrow('enough');
    expect(told.all.join()).toContain(`${image} is now ${image}.partial`);
    await place.restore({ onto });
    expect((await bytesOf(image, 'qcow2')).equals(newest())).toBe(true);
  });

  test('of another format, or that is not there, is refused and stays as it is', async () => {
    await using place = await twoPoints();
    const image = place.path('not an image');
    await writeFile(image, 'text');
    await expect(place.restore({ onto: new Map([['vda', image]]) })).rejects.toMatchObject({ code: 'BAD_TARGET' });
    expect(await readFile(image, 'utf8')).toBe('text');
    const absent = new Map([['vda', place.path('absent')]]);
    await expect(place.restore({ onto: absent })).rejects.toMatchObject({ code: 'BAD_TARGET' });
  });
});

describe.skipIf(requires('qemu-img', 'qemu-nbd', 'root', 'losetup').skip)('a block device', () => {
  /** A loop device that is full of 0xee. */
  async function device(place: Place, size: number): Promise<AsyncDisposable & { path: string; file: string }> {
    const file = place.path('device');
    await writeFile(file, Buffer.alloc(size, 0xee));
    const path = (await run('losetup', '--show', '-f', file)).trim();
    return { path, file, [Symbol.asyncDispose]: async () => void (await run('losetup', '-d', path)) };
  }

  test('gets data and zeroes, and keeps what lies behind', async () => {
    await using place = await twoPoints();
    await using loop = await device(place, SIZE + MIB);
    const { images } = await place.restore({ devices: new Map([['vda', loop.path]]), verify: true });
    expect(images).toMatchObject([{ kind: 'device', path: loop.path, format: 'raw' }]);
    await run('blockdev', '--flushbufs', loop.path);
    const held = await readFile(loop.file);
    expect(held.subarray(0, SIZE).equals(newest())).toBe(true);
    expect(held.subarray(SIZE).every((byte) => byte === 0xee)).toBe(true);
  });

  test('looks empty when the restore was interrupted', async () => {
    await using place = await twoPoints();
    await using loop = await device(place, SIZE);
    const stop = new AbortController();
    const onEvent = ({ type }: { type: string }): void => {
      if (type === 'progress') stop.abort(new Error('enough'));
    };
    const restoring = place.restore({ devices: new Map([['vda', loop.path]]) }, { signal: stop.signal, onEvent });
    await expect(restoring).rejects.toThrow('enough');
    await run('blockdev', '--flushbufs', loop.path);
    expect((await readFile(loop.file)).subarray(0, MIB).every((byte) => byte === 0)).toBe(true);
  });

  test('that is too small, or in use, is refused and stays as it is', async () => {
    await using place = await twoPoints();
    await using loop = await device(place, SIZE - MIB);
    const devices = new Map([['vda', loop.path]]);
    await expect(place.restore({ devices })).rejects.toMatchObject({ code: 'BAD_TARGET' });
    await using _claim = await host.files.open(loop.path, 'claim');
    await expect(place.restore({ devices })).rejects.toMatchObject({ code: 'TARGET_IN_USE' });
    expect((await readFile(loop.file)).every((byte) => byte === 0xee)).toBe(true);
  });

  test('that is none is refused', async () => {
    await using place = await twoPoints();
    const devices = new Map([['vda', place.path('absent')]]);
    await expect(place.restore({ devices })).rejects.toMatchObject({ code: 'BAD_TARGET' });
  });
});
