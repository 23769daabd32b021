import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { host, KIB, MIB, makePoint, makeRandomChain, wholeDisk } from '@virtnbd/sample-sets';
import { requires, run, tempFolder, withSeed } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import { bytesOf, fingerprint, serveFolder } from './support.ts';

/** NBD_STATE_HOLE | NBD_STATE_ZERO */
const HOLE_AND_ZERO = 3;

for (const compression of [undefined, 'lz4'] as const) {
  test.skipIf(requires('nbdcopy').skip)(
    `nbdcopy gets every point of random chains, ${compression ?? 'plain'}`,
    async () => {
      await withSeed(async (random) => {
        for (let round = 0; round < 3; round++) {
          await using folder = await tempFolder();
          const points = await makeRandomChain(folder.path, {
            random,
            increments: random.integer(1, 6),
            ...(compression !== undefined && { compression }),
          });
          await using served = await serveFolder(folder.path);
          for (const { id, bytes } of points) {
            const target = join(served.scratch, `${id}.raw`);
            await run('nbdcopy', [served.server.uri(`vda@${id}`), target]);
            expect(Buffer.compare(await bytesOf(target), bytes), `vda@${id}`).toBe(0);
          }
          const latest = await served.connect('vda');
          await using _ = latest;
          const bytes = new Uint8Array(latest.size);
          await latest.read(0, bytes);
          expect(Buffer.compare(bytes, points.at(-1)?.bytes ?? new Uint8Array())).toBe(0);
        }
      });
    },
  );
}

test('block status covers the disk, and says zero only where it is zero', async () => {
  await withSeed(async (random) => {
    await using folder = await tempFolder();
    const points = await makeRandomChain(folder.path, { random, increments: 4 });
    await using served = await serveFolder(folder.path);
    for (const { id, bytes } of points) {
      await using client = await served.connect(`vda@${id}`);
      let position = 0;
      for await (const batch of client.extents()) {
        for (const { start, length, flags } of batch) {
          expect(start).toBe(position);
          position += length;
          const zero = flags[0] === HOLE_AND_ZERO;
          expect(zero || flags[0] === 0).toBe(true);
          if (zero) expect(bytes.subarray(start, position).every((byte) => byte === 0)).toBe(true);
        }
      }
      expect(position).toBe(bytes.length);
    }
  });
});

test('a flipped byte is EIO with the file told once, and everything else is still exact', async () => {
  await using folder = await tempFolder();
  const frames = wholeDisk(4 * MIB, 2 * MIB, 0xa5);
  await makePoint(folder.path, { number: 0, disks: [{ virtualSize: 4 * MIB, frames }], chunkSize: 64 * KIB });
  const file = await open(join(folder.path, 'vda.full.data'), 'r+');
  await file.write(Buffer.from([0]), 0, 1, MIB);
  await file.close();
  await using served = await serveFolder(folder.path);
  await using client = await served.connect('vda');
  const block = new Uint8Array(4 * KIB);
  for (let time = 0; time < 3; time++) {
    await expect(client.read(MIB, block)).rejects.toMatchObject({ code: 'REQUEST', errno: 'EIO' });
  }
  const before = new Uint8Array(MIB - 128 * KIB);
  await client.read(0, before);
  expect(before.every((byte) => byte === 0xa5)).toBe(true);
  const damage = served.events.filter(({ type }) => type === 'damage');
  expect(damage).toHaveLength(1);
  expect(damage[0]).toMatchObject({
    exportName: 'vda',
    offset: MIB,
    length: 4 * KIB,
    error: { code: 'DAMAGED', disk: 'vda', point: 'virtnbdbackup.0', file: 'vda.full.data', fileOffset: MIB },
  });
});

test('a point that cannot be opened fails its own clients and is told; the others are served', async () => {
  await using folder = await tempFolder();
  const disks = [{ virtualSize: MIB, frames: wholeDisk(MIB, 64 * KIB, 1) }];
  await makePoint(folder.path, { number: 0, disks });
  await makePoint(folder.path, {
    number: 1,
    disks: [{ virtualSize: MIB, frames: [{ start: 0, length: 4096, fill: 2 }] }],
  });
  await using served = await serveFolder(folder.path, 'virtnbdbackup.0');
  await host.files.remove(join(folder.path, 'vda.inc.virtnbdbackup.1.data'));
  await expect(served.connect('vda@virtnbdbackup.1')).rejects.toMatchObject({ name: 'NbdError' });
  // Once for each time that it asked: for the meta contexts, and then for the export.
  const failure = { type: 'failure', exportName: 'vda@virtnbdbackup.1', command: 'open' };
  expect(served.events).toMatchObject([failure, failure]);
  await using client = await served.connect('vda');
  expect(client.size).toBe(MIB);
});

test.skipIf(requires('qemu-io').skip)(
  'what qemu-io writes is read back, and no file of the backup changes',
  async () => {
    await using folder = await tempFolder();
    await makePoint(folder.path, { number: 0, disks: [{ virtualSize: MIB, frames: wholeDisk(MIB, 512 * KIB, 1) }] });
    const before = await fingerprint(folder.path);
    {
      await using served = await serveFolder(folder.path, 'latest', 'temporary');
      const commands = ['write -P 0xbb 1000 5000', 'write -z 64k 64k', 'discard 128k 64k', 'flush'];
      const checks = ['read -P 0x01 0 1000', 'read -P 0xbb 1000 5000', 'read -P 0x01 6000 59536', 'read -P 0 64k 64k'];
      const words = [...commands, ...checks].flatMap((command) => ['-c', command]);
      const { stdout } = await run('qemu-io', ['-f', 'raw', served.server.uri('vda'), ...words]);
      expect(stdout).not.toContain('verification failed');
      await using other = await served.connect('vda@virtnbdbackup.0');
      expect(other.readOnly).toBe(true);
      // Nothing that a SIGKILL of the server could leave behind, but the socket.
      expect((await host.files.list(served.scratch)).map(({ name }) => name)).toEqual(['nbd.sock']);
    }
    expect(await fingerprint(folder.path)).toEqual(before);
  },
);

test('a kept overlay goes on where it was, belongs to its point, and to one server at a time', async () => {
  await using folder = await tempFolder();
  await using place = await tempFolder();
  await makePoint(folder.path, { number: 0, disks: [{ virtualSize: MIB, frames: wholeDisk(MIB, 64 * KIB, 1) }] });
  await makePoint(folder.path, {
    number: 1,
    disks: [{ virtualSize: MIB, frames: [{ start: 0, length: 4096, fill: 2 }] }],
  });
  const overlay = { path: join(place.path, 'changes [1]') };
  const written = new Uint8Array(10_000).fill(0xcc);
  {
    await using served = await serveFolder(folder.path, 'virtnbdbackup.0', overlay);
    await using client = await served.connect('vda');
    await client.write(5000, written);
    await expect(serveFolder(folder.path, 'virtnbdbackup.0', overlay)).rejects.toMatchObject({ code: 'LOCKED' });
  }
  {
    await using served = await serveFolder(folder.path, 'virtnbdbackup.0', overlay);
    await using client = await served.connect('vda');
    const bytes = new Uint8Array(written.length);
    await client.read(5000, bytes);
    expect(bytes).toEqual(written);
  }
  await expect(serveFolder(folder.path, 'latest', overlay)).rejects.toMatchObject({ code: 'OVERLAY_MISMATCH' });
  expect((await host.files.list(place.path)).map(({ name }) => name)).toEqual(['changes [1]']);
});

test('several clients of several exports at once each get their own bytes', async () => {
  await withSeed(async (random) => {
    await using folder = await tempFolder();
    const points = await makeRandomChain(folder.path, { random, increments: 3, compression: 'lz4' });
    await using served = await serveFolder(folder.path);
    const clients = points.flatMap((point) =>
      [point, point].map(async ({ id, bytes }) => {
        await using client = await served.connect(`vda@${id}`);
        const reads = Array.from({ length: 200 }, async () => {
          const { offset, length } = random.range(bytes.length, { longest: 100_000 });
          const part = new Uint8Array(length);
          await client.read(offset, part);
          return Buffer.compare(part, bytes.subarray(offset, offset + length)) === 0;
        });
        return await Promise.all(reads);
      }),
    );
    expect((await Promise.all(clients)).flat().every((same) => same)).toBe(true);
  });
});

test('the end of the last client is told, to those who serve one client only', async () => {
  await using folder = await tempFolder();
  await makePoint(folder.path, { number: 0, disks: [{ virtualSize: MIB, frames: wholeDisk(MIB, 64 * KIB, 1) }] });
  await using served = await serveFolder(folder.path);
  const [first, second] = await Promise.all([served.connect('vda'), served.connect('vda')]);
  await first.close();
  let over = false;
  const left = served.server.lastClientLeft.then(() => {
    over = true;
  });
  await second.read(0, new Uint8Array(4096));
  expect(over).toBe(false);
  await second.close();
  await left;
});
