import { join } from 'node:path';
import {
  makeImage,
  type NbdServer,
  type Random,
  requires,
  run,
  startQemuNbd,
  tempFolder,
  withSeed,
} from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { type ExtentRun, NbdClient, STATE_DIRTY, STATE_HOLE, STATE_ZERO } from '../src/index.ts';
import { collect, errorOf } from './expect-error.ts';

const needed = requires('qemu-nbd', 'qemu-img', 'qemu-io', 'nbdinfo');
const ALLOCATION = 'base:allocation';
const BITMAP = 'qemu:dirty-bitmap:backup0';
const MIB = 1024 * 1024;

/** Ten random commands of qemu-io, each on whole sectors. */
function randomCommands(random: Random, size: number): string[] {
  return Array.from({ length: 10 }, () => {
    const { offset, length } = random.range(size, { alignment: 4096, longest: 300_000 });
    const verb = random.pick([`write -P ${random.integer(1, 255)}`, 'write -z', 'write -z -u', 'discard']);
    return `${verb} ${offset} ${length}`;
  });
}

async function qemuIo(image: string, commands: readonly string[]): Promise<void> {
  await run('qemu-io', ['-f', 'qcow2', ...commands.flatMap((command) => ['-c', command]), image]);
}

/** What nbdinfo says of one context. */
async function nbdinfoMap(
  server: NbdServer,
  context: string,
): Promise<{ offset: number; length: number; type: number }[]> {
  const { stdout } = await run('nbdinfo', ['--json', `--map=${context}`, server.uri]);
  return JSON.parse(stdout);
}

/** The flags of one context, every 512 bytes. */
function sectors(runs: Iterable<{ start: number; length: number; flags: number }>, size: number): number[] {
  const flags: number[] = new Array(size / 512).fill(-1);
  for (const run of runs) flags.fill(run.flags, run.start / 512, (run.start + run.length) / 512);
  return flags;
}

function ofContext(runs: readonly ExtentRun[], index: number) {
  return runs.map(({ start, length, flags }) => ({ start, length, flags: flags[index] ?? -1 }));
}

describe.skipIf(needed.skip)('qemu-nbd', () => {
  test('extents of random qcow2 images with a dirty bitmap are those that nbdinfo sees', {
    timeout: 180_000,
  }, async () => {
    await withSeed(async (random) => {
      for (let round = 0; round < 4; round++) {
        await using folder = await tempFolder();
        const image = join(folder.path, 'disk.qcow2');
        const size = random.integer(4, 64) * MIB;
        await makeImage(image, { size });
        await qemuIo(image, randomCommands(random, size));
        await run('qemu-img', ['bitmap', '--add', '-g', '65536', image, 'backup0']);
        await qemuIo(image, randomCommands(random, size));

        await using server = await startQemuNbd(image, {
          format: 'qcow2',
          bitmap: 'backup0',
          readOnly: true,
          exportName: 'vda',
        });
        const options = { exportName: 'vda', metaContexts: [ALLOCATION, BITMAP] };
        await using client = await NbdClient.connect({ path: server.socket }, options);
        expect(client).toMatchObject({ size, readOnly: true, canMultiConn: true, metaContexts: [ALLOCATION, BITMAP] });
        const runs = await collect(client.extents());
        for (const [index, context] of [ALLOCATION, BITMAP].entries()) {
          const map = await nbdinfoMap(server, context);
          const expected = map.map(({ offset, length, type }) => ({ start: offset, length, flags: type }));
          expect(sectors(ofContext(runs, index), size)).toEqual(sectors(expected, size));
        }
      }
    });
  });

  test('runs have no gaps, equal neighbours are joined, and flags follow the order of contexts', async () => {
    await using folder = await tempFolder();
    const image = join(folder.path, 'disk.qcow2');
    await makeImage(image, { size: 8 * MIB });
    await qemuIo(image, ['write 0 1M']);
    await run('qemu-img', ['bitmap', '--add', '-g', '65536', image, 'backup0']);
    await qemuIo(image, ['write 512k 1M', 'write -z 4M 64k']);
    await using server = await startQemuNbd(image, { format: 'qcow2', bitmap: 'backup0', readOnly: true });
    await using client = await NbdClient.connect({ path: server.socket }, { metaContexts: [ALLOCATION, BITMAP] });
    const absent = STATE_HOLE | STATE_ZERO;
    const runs = await collect(client.extents({ contexts: [BITMAP, ALLOCATION] }));
    expect(runs).toEqual([
      { start: 0, length: MIB / 2, flags: [0, 0] },
      { start: MIB / 2, length: MIB, flags: [STATE_DIRTY, 0] },
      { start: 1.5 * MIB, length: 2.5 * MIB, flags: [0, absent] },
      { start: 4 * MIB, length: 65_536, flags: [STATE_DIRTY, runs[3]?.flags[1]] },
      { start: 4 * MIB + 65_536, length: 4 * MIB - 65_536, flags: [0, absent] },
    ]);
    expect((runs[3]?.flags[1] ?? 0) & STATE_ZERO).toBe(STATE_ZERO);
  });

  test('a bitmap that does not exist is not granted', async () => {
    await using folder = await tempFolder();
    const image = join(folder.path, 'disk.qcow2');
    await makeImage(image, { size: MIB });
    await using server = await startQemuNbd(image, { format: 'qcow2', readOnly: true });
    await using client = await NbdClient.connect({ path: server.socket }, { metaContexts: [BITMAP, ALLOCATION] });
    expect(client.metaContexts).toEqual([ALLOCATION]);
    expect(await errorOf(collect(client.extents({ contexts: [BITMAP] })))).toMatchObject({ code: 'UNSUPPORTED' });
  });

  test('an unknown export is refused with the words of qemu', async () => {
    await using folder = await tempFolder();
    const image = join(folder.path, 'disk.qcow2');
    await makeImage(image, { size: MIB });
    await using server = await startQemuNbd(image, { format: 'qcow2', exportName: 'vda' });
    const error = await errorOf(NbdClient.connect({ path: server.socket }, { exportName: 'vdb' }));
    expect(error).toMatchObject({ code: 'HANDSHAKE', reply: 'NBD_REP_ERR_UNKNOWN' });
    await using client = await NbdClient.connect({ path: server.socket }, { exportName: 'vda' });
    expect(client.size).toBe(MIB);
  });

  test('a random disk written to one qcow2 and read back into another is identical by qemu-img compare', {
    timeout: 180_000,
  }, async () => {
    await withSeed(async (random) => {
      await using folder = await tempFolder();
      const [source, target] = [join(folder.path, 'source.qcow2'), join(folder.path, 'target.qcow2')];
      const size = 40 * MIB + 512;
      await makeImage(source, { size });
      await makeImage(target, { size });
      await using from = await startQemuNbd(source, { format: 'qcow2' });
      await using to = await startQemuNbd(target, { format: 'qcow2' });
      {
        await using writer = await NbdClient.connect({ path: from.socket });
        for (let i = 0; i < 20; i++) {
          const { offset, length } = random.range(size, { alignment: 1, longest: 2 * MIB });
          await writer.write(offset, random.bytes(length), { fua: random.boolean() });
          const zero = random.range(size, { alignment: 1, longest: 4 * MIB });
          await writer.writeZeroes(zero.offset, zero.length, { noHole: random.boolean() });
        }
        await writer.trim(0, 65_536);
        await writer.flush();
        await using reader = await NbdClient.connect({ path: from.socket }, { metaContexts: [ALLOCATION] });
        await using copy = await NbdClient.connect({ path: to.socket });
        const copies: Promise<void>[] = [];
        for await (const runs of reader.extents()) {
          for (const { start, length, flags } of runs) {
            if (((flags[0] ?? 0) & STATE_ZERO) !== 0) continue;
            const buffer = new Uint8Array(length);
            copies.push(reader.read(start, buffer).then(() => copy.write(start, buffer)));
          }
        }
        await Promise.all(copies);
        await copy.flush();
      }
      await Promise.all([from.stop(), to.stop()]);
      const { stdout } = await run('qemu-img', ['compare', '-f', 'qcow2', '-F', 'qcow2', source, target]);
      expect(stdout).toContain('Images are identical');
    });
  });

  test('a write of 64 MiB and its read come back through many requests', { timeout: 120_000 }, async () => {
    await withSeed(async (random) => {
      await using folder = await tempFolder();
      const image = join(folder.path, 'disk.raw');
      await makeImage(image, { format: 'raw', size: 80 * MIB });
      await using server = await startQemuNbd(image, { format: 'raw' });
      await using client = await NbdClient.connect({ path: server.socket });
      const data = random.bytes(64 * MIB);
      await client.write(12_345, data);
      const buffer = new Uint8Array(data.byteLength);
      await client.read(12_345, buffer);
      expect(Buffer.compare(buffer, data)).toBe(0);
    });
  });

  test('a write to a read-only export is refused before it is sent', async () => {
    await using folder = await tempFolder();
    const image = join(folder.path, 'disk.raw');
    await makeImage(image, { format: 'raw', size: MIB });
    await using server = await startQemuNbd(image, { format: 'raw', readOnly: true });
    await using client = await NbdClient.connect({ path: server.socket });
    expect(await errorOf(client.write(0, new Uint8Array(512)))).toMatchObject({ code: 'UNSUPPORTED' });
  });
});
