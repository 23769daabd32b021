import { join } from 'node:path';
import { makeImage, type Random, requires, startNbdkit, startQemuNbd, tempFolder, withSeed } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { NbdClient } from '../src/index.ts';

const needed = requires('nbdkit', 'qemu-nbd', 'qemu-img');
const SIZE = 6 * 1024 * 1024;

/** Random writes, zeroes and reads, several at a time where they do not touch each other, against bytes in memory. */
async function compareWithModel(client: NbdClient, random: Random): Promise<void> {
  const model = Buffer.alloc(client.size);
  const alignment = client.blockSize.minimum;
  for (let round = 0; round < 40; round++) {
    const border = random.integer(1, client.size / alignment - 1) * alignment;
    const halves = [
      { start: 0, size: border },
      { start: border, size: client.size - border },
    ];
    await Promise.all(
      halves.map(async ({ start, size }) => {
        const { offset, length } = random.range(size, { alignment, longest: 1_500_000 });
        const at = start + offset;
        if (random.boolean(0.4)) {
          await client.writeZeroes(at, length, { noHole: random.boolean() });
          model.fill(0, at, at + length);
        } else {
          const data = random.bytes(length);
          await client.write(at, data, { fua: random.boolean(0.2) });
          model.set(data, at);
        }
      }),
    );
    const reads = Array.from({ length: 3 }, async () => {
      const { offset, length } = random.range(client.size, { alignment: 1, longest: 2_000_000 });
      const first = random.integer(0, length);
      const buffers = [new Uint8Array(first), new Uint8Array(length - first)];
      await client.readInto(offset, buffers, { inPlace: random.boolean() });
      expect(Buffer.compare(Buffer.concat(buffers), model.subarray(offset, offset + length))).toBe(0);
    });
    await Promise.all(reads);
  }
  await client.flush();
  const whole = new Uint8Array(client.size);
  await client.read(0, whole);
  expect(Buffer.compare(whole, model)).toBe(0);
}

describe.skipIf(needed.skip)('random writes, zeroes and reads agree with a model', { timeout: 120_000 }, () => {
  test.each([1, 3])('on qemu-nbd over qcow2, %d connections', async (connections) => {
    await withSeed(async (random) => {
      await using folder = await tempFolder();
      const image = join(folder.path, 'disk.qcow2');
      await makeImage(image, { size: SIZE });
      await using server = await startQemuNbd(image, { format: 'qcow2' });
      await using client = await NbdClient.connect({ path: server.socket }, { connections });
      await compareWithModel(client, random);
    });
  });

  test.each([
    ['plain', []],
    ['simple replies', ['--no-sr']],
    ['blocks of 4096', ['--filter=blocksize-policy', 'blocksize-minimum=4096', 'blocksize-error-policy=error']],
    ['at most 64 KiB', ['--filter=blocksize-policy', 'blocksize-maximum=65536', 'blocksize-error-policy=error']],
  ])('on nbdkit, %s', async (_, args) => {
    const [flags, parameters] = [args.filter((it) => it.startsWith('-')), args.filter((it) => !it.startsWith('-'))];
    await withSeed(async (random) => {
      await using server = await startNbdkit([...flags, 'memory', String(SIZE), ...parameters]);
      await using client = await NbdClient.connect({ path: server.socket }, { connections: 2 });
      await compareWithModel(client, random);
    });
  });
});
