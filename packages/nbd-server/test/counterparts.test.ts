import { mkdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NbdClient, STATE_HOLE, STATE_ZERO } from '@virtnbd/nbd-client';
import { requires, run, waitFor, withSeed } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { NbdServer, OverlaySource } from '../src/index.ts';
import { MemorySource, pattern } from './memory-source.ts';
import { FileOverlay } from './overlay-files.ts';
import { type Serving, serve } from './serving.ts';

const MIB = 1 << 20;
const SIZE = 24 * MIB;

/** Data and holes by turns. */
const content = pattern(SIZE);
for (let at = 0; at < SIZE; at += 3 * MIB) content.fill(0, at + MIB, at + 2 * MIB);

/** Extents of the content as (start, length, zero). */
const extents = Array.from({ length: 16 }, (_, i) => {
  const start = i % 2 === 0 ? (i / 2) * 3 * MIB - (i === 0 ? 0 : MIB) : ((i - 1) / 2) * 3 * MIB + MIB;
  return { start, length: i % 2 === 1 ? MIB : i === 0 ? MIB : 2 * MIB, zero: i % 2 === 1 };
}).concat([{ start: SIZE - MIB, length: MIB, zero: false }]);

const base = () => new MemorySource(content);

/** An overlay over the content, in a file. */
async function serveOverlay(): Promise<Serving & { overlay: OverlaySource; below: MemorySource }> {
  const below = new MemorySource(Buffer.from(content));
  let overlay: OverlaySource | undefined;
  const opening = async () => {
    if (overlay === undefined) throw new Error('not there yet');
    return overlay;
  };
  const serving = await serve([{ source: opening }]);
  const made = await OverlaySource.create(below, await FileOverlay.open(join(serving.folder.path, 'overlay'), 'wx+'));
  overlay = made;
  return {
    ...serving,
    overlay: made,
    below,
    async [Symbol.asyncDispose]() {
      await serving.server.close();
      await made.close();
      await serving[Symbol.asyncDispose]();
    },
  };
}

describe.skipIf(requires('nbdinfo').skip)('nbdinfo', () => {
  test('lists the exports', async () => {
    await using serving = await serve([
      { name: '', source: base() },
      { name: 'vda@virtnbdbackup.1', description: 'an older point', source: base() },
    ]);
    const { stdout } = await run('nbdinfo', ['--list', '--json', serving.uri()]);
    const { exports, ...rest } = JSON.parse(stdout);
    expect(rest).toMatchObject({ protocol: 'newstyle-fixed', TLS: false, structured: true });
    expect(exports).toMatchObject([
      { 'export-name': '', 'export-size': SIZE, contexts: ['base:allocation'] },
      { 'export-name': 'vda@virtnbdbackup.1', description: 'an older point', 'export-size': SIZE },
    ]);
  });

  test('sees what is offered of a read-only and of a writable export', async () => {
    await using plain = await serve([{ source: base(), blockSize: { minimum: 512, preferred: 65_536, maximum: MIB } }]);
    const described = async (uri: string) => JSON.parse((await run('nbdinfo', ['--json', uri])).stdout).exports[0];
    expect(await described(plain.uri())).toMatchObject({
      is_read_only: true,
      can_multi_conn: true,
      can_df: true,
      can_trim: false,
      can_zero: false,
      can_flush: false,
      block_size_minimum: 512,
      block_size_preferred: 65_536,
      block_size_maximum: MIB,
    });
    await using overlay = await serveOverlay();
    expect(await described(overlay.uri())).toMatchObject({
      is_read_only: false,
      can_multi_conn: true,
      can_trim: true,
      can_zero: true,
      can_flush: true,
      can_fua: true,
    });
  });

  test('maps data and holes', async () => {
    await using serving = await serve(base());
    const { stdout } = await run('nbdinfo', ['--map', '--json', serving.uri()]);
    const map: { offset: number; length: number; type: number }[] = JSON.parse(stdout);
    expect(map.map(({ offset, length, type }) => ({ start: offset, length, zero: type === 3 }))).toEqual(extents);
  });

  test('reaches a TCP port', async () => {
    await using tcp = await NbdServer.listen({ port: 0 }, { exports: [{ name: 'ä b', source: base() }] });
    expect(tcp.uri('ä b')).toMatch(/^nbd:\/\/127\.0\.0\.1:\d+\/%C3%A4%20b$/);
    expect((await run('nbdinfo', ['--size', tcp.uri('ä b')])).stdout.trim()).toBe(String(SIZE));
  });
});

describe.skipIf(requires('nbdcopy').skip)('nbdcopy', () => {
  test.each([1, 4])('copies all of it out over %d connections', async (connections) => {
    await using serving = await serve(base());
    const target = join(serving.folder.path, 'copy');
    await run('nbdcopy', [`--connections=${connections}`, serving.uri(), target]);
    expect((await readFile(target)).equals(content)).toBe(true);
  });

  test('copies an image into an overlay, and the base is as before', async () => {
    await using serving = await serveOverlay();
    const image = join(serving.folder.path, 'image');
    const bytes = Buffer.alloc(SIZE);
    bytes.fill(0x5a, 5 * MIB, 9 * MIB + 512);
    await writeFile(image, bytes);
    await run('nbdcopy', ['--flush', image, serving.uri()]);
    const back = join(serving.folder.path, 'back');
    await run('nbdcopy', [serving.uri(), back]);
    expect((await readFile(back)).equals(bytes)).toBe(true);
    expect(serving.below.bytes.equals(content)).toBe(true);
  });
});

describe.skipIf(requires('qemu-img').skip)('qemu-img', () => {
  test('converts, compares and maps', async () => {
    await using serving = await serve([{ name: 'vda', source: base() }]);
    const uri = serving.uri('vda');
    const image = join(serving.folder.path, 'image.qcow2');
    await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', uri, image]);
    const { stdout } = await run('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', uri, image]);
    expect(stdout).toContain('Images are identical');
    const map = JSON.parse((await run('qemu-img', ['map', '-f', 'raw', '--output=json', uri])).stdout);
    const found = map.map(({ start, length, zero }: { start: number; length: number; zero: boolean }) => ({
      start,
      length,
      zero,
    }));
    expect(found).toEqual(extents);
    const info = JSON.parse((await run('qemu-img', ['info', '--output=json', uri])).stdout);
    expect(info).toMatchObject({ 'virtual-size': SIZE, format: 'raw' });
  });

  test.each([1, 511, 513, 4097])('reads a disk of 65536 + %d bytes to its end', async (more) => {
    const bytes = pattern(65_536 + more);
    await using serving = await serve(new MemorySource(bytes));
    const target = join(serving.folder.path, 'copy');
    await run('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', serving.uri(), target]);
    await truncate(target, bytes.byteLength);
    expect((await readFile(target)).equals(bytes)).toBe(true);
  });
});

describe.skipIf(requires('qemu-io').skip)('qemu-io', () => {
  test('writes, zeroes and discards land in the overlay, and in a reopened one', async () => {
    await using serving = await serveOverlay();
    const commands = ['write -P 0x11 1000 3000', 'write -f -P 0x22 4M 2M', 'write -z 5M 64k', 'discard 0 4k', 'flush'];
    const args = commands.flatMap((command) => ['-c', command]);
    await run('qemu-io', ['-f', 'raw', ...args, serving.uri()]);
    const model = Buffer.from(content);
    model
      .fill(0x11, 1000, 4000)
      .fill(0x22, 4 * MIB, 6 * MIB)
      .fill(0, 5 * MIB, 5 * MIB + 65_536);
    model.fill(0, 0, 4096);
    const file = await FileOverlay.open(join(serving.folder.path, 'overlay'), 'r+');
    for (const source of [serving.overlay, await OverlaySource.open(serving.below, file)]) {
      const bytes = Buffer.alloc(SIZE);
      await source.read(0, bytes);
      expect(bytes.equals(model)).toBe(true);
    }
    await file.close();
    expect(serving.below.bytes.equals(content)).toBe(true);
  });

  test('is refused a write to a read-only export', async () => {
    await using serving = await serve(base());
    const writing = run('qemu-io', ['-f', 'raw', '-c', 'write 0 512', serving.uri()]);
    await expect(writing).rejects.toMatchObject({ code: 'PROGRAM_FAILED' });
  });
});

describe.skipIf(requires('nbdinfo', 'fuse', 'root').skip)('nbdfuse', () => {
  test('shows an export as a file, and ends with its mount', async () => {
    await using serving = await serve(base());
    const folder = join(serving.folder.path, 'mount');
    await mkdir(folder);
    const mounted = run('nbdfuse', [folder, serving.uri()]);
    try {
      await waitFor(() => stat(join(folder, 'nbd')).catch(() => null), { what: 'the mount' });
      expect((await readFile(join(folder, 'nbd'))).equals(content)).toBe(true);
    } finally {
      await run('umount', [folder]);
    }
    await mounted;
  });
});

describe('our own client', () => {
  test('agrees on extended headers, and gets one extent for more than 4 GiB', async () => {
    const size = 2 ** 45;
    const source = {
      size,
      read: async (_: number, buffer: Uint8Array) => void buffer.fill(7),
      extents: () => [{ start: 0, length: size, kind: 'zero' as const }],
    };
    await using serving = await serve(source);
    await using client = await NbdClient.connect({ path: serving.path }, { metaContexts: ['base:allocation'] });
    expect(client).toMatchObject({ size, extendedHeaders: true, readOnly: true, canMultiConn: true });
    const runs = [];
    for await (const batch of client.extents()) runs.push(...batch);
    expect(runs).toEqual([{ start: 0, length: size, flags: [STATE_HOLE | STATE_ZERO] }]);
  });

  test('writes and reads an overlay at random, over several connections', () =>
    withSeed(async (random) => {
      await using serving = await serveOverlay();
      await using client = await NbdClient.connect({ path: serving.path }, { connections: 4 });
      const model = Buffer.from(content);
      for (let round = 0; round < 60; round++) {
        const { offset, length } = random.range(SIZE, { alignment: 1, longest: 3 * MIB });
        if (random.boolean(0.3)) {
          model.fill(0, offset, offset + length);
          await client.writeZeroes(offset, length);
        } else {
          const data = random.bytes(length);
          model.set(data, offset);
          await client.write(offset, data, { fua: random.boolean(0.1) });
        }
        const part = random.range(SIZE, { alignment: 1, longest: 3 * MIB });
        const buffer = Buffer.alloc(part.length);
        await client.read(part.offset, buffer);
        expect(buffer.equals(model.subarray(part.offset, part.offset + part.length)), `round ${round}`).toBe(true);
      }
      await client.flush();
    }));
});
