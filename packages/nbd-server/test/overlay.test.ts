import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Random, tempFolder, withSeed } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { type BlockSource, NbdServerError, OverlaySource } from '../src/index.ts';
import { MemorySource, pattern } from './memory-source.ts';
import { FileOverlay, MemoryOverlay } from './overlay-files.ts';

/** Not a whole number of blocks, and more than a page of the index would be 64 MiB: see the test of large disks. */
const SIZE = 40 * 4096 + 700;

function base(): MemorySource {
  const bytes = pattern(SIZE);
  bytes.fill(0, 8192, 5 * 4096);
  return new MemorySource(bytes);
}

async function contentOf(source: BlockSource): Promise<Buffer> {
  const bytes = Buffer.alloc(source.size, 0xee);
  await source.read(0, bytes);
  return bytes;
}

/** One change of an overlay, and the same of its model. */
async function change(random: Random, overlay: OverlaySource, model: Buffer): Promise<void> {
  const { offset, length } = random.range(SIZE, { alignment: 1, longest: random.pick([10, 3000, 4096, 20_000]) });
  const what = random.integer(0, 9);
  const aligned = random.boolean() ? { at: offset - (offset % 4096), bytes: 4096 } : { at: offset, bytes: length };
  const bytes = Math.min(aligned.bytes, SIZE - aligned.at);
  if (what < 6) {
    const data = random.bytes(bytes);
    model.set(data, aligned.at);
    await overlay.write(aligned.at, data);
  } else {
    model.fill(0, aligned.at, aligned.at + bytes);
    await overlay.writeZeroes(aligned.at, bytes);
  }
}

describe('against a model', () => {
  test('reads give what was written, and the base is as before', () =>
    withSeed(async (random) => {
      const below = base();
      const original = Buffer.from(below.bytes);
      const model = Buffer.from(original);
      const overlay = await OverlaySource.create(below, new MemoryOverlay());
      for (let round = 0; round < 300; round++) {
        await change(random, overlay, model);
        const { offset, length } = random.range(SIZE, { alignment: 1 });
        const part = Buffer.alloc(length);
        await overlay.read(offset, part);
        expect(part.equals(model.subarray(offset, offset + length)), `round ${round}`).toBe(true);
      }
      expect(below.bytes.equals(original)).toBe(true);
    }));

  test('writes of neighbouring bytes at the same time do not undo one another', () =>
    withSeed(async (random) => {
      const below = base();
      const model = Buffer.from(below.bytes);
      const overlay = await OverlaySource.create(below, new MemoryOverlay());
      for (let round = 0; round < 30; round++) {
        const writes: Promise<void>[] = [];
        for (let at = random.integer(0, 500); at < SIZE; ) {
          const data = random.bytes(Math.min(random.integer(1, 3000), SIZE - at));
          model.set(data, at);
          writes.push(overlay.write(at, data));
          at += data.byteLength;
        }
        await Promise.all(writes);
        expect((await contentOf(overlay)).equals(model)).toBe(true);
      }
    }));

  test('extents cover every range without gaps, and zero is only what reads as zeroes', () =>
    withSeed(async (random) => {
      const overlay = await OverlaySource.create(base(), new MemoryOverlay());
      const model = Buffer.from(base().bytes);
      for (let round = 0; round < 40; round++) {
        await change(random, overlay, model);
        const { offset, length } = random.range(SIZE, { alignment: 1 });
        let position = offset;
        for await (const extent of overlay.extents(offset, length)) {
          expect(extent.start).toBe(position);
          position += extent.length;
          if (extent.kind === 'zero') {
            expect(model.subarray(extent.start, position).every((byte) => byte === 0)).toBe(true);
          }
        }
        expect(position).toBe(offset + length);
      }
    }));

  test('a closed overlay is the same when it is opened again', () =>
    withSeed(async (random) => {
      const file = new MemoryOverlay();
      const model = Buffer.from(base().bytes);
      let overlay = await OverlaySource.create(base(), file, { identity: 'vda@virtnbdbackup.3' });
      for (let round = 0; round < 20; round++) {
        for (let i = 0; i < 5; i++) await change(random, overlay, model);
        await overlay.close();
        overlay = await OverlaySource.open(base(), file, { identity: 'vda@virtnbdbackup.3' });
        expect((await contentOf(overlay)).equals(model)).toBe(true);
      }
    }));

  test('after a crash every sector is as at the last flush, or as written later', () =>
    withSeed(async (random) => {
      for (let round = 0; round < 60; round++) {
        const file = new MemoryOverlay();
        const overlay = await OverlaySource.create(base(), file);
        const model = Buffer.from(base().bytes);
        for (let i = random.integer(0, 8); i > 0; i--) await change(random, overlay, model);
        await overlay.flush();
        const states = [Buffer.from(model)];
        for (let i = random.integer(1, 8); i > 0; i--) {
          await change(random, overlay, model);
          states.push(Buffer.from(model));
        }
        // A flush that the crash interrupts, at any of its steps.
        const crash = file.calls + random.integer(0, 6);
        file.before = (call) => {
          if (call >= crash) throw new Error('crash');
        };
        const flushed = await overlay.flush().then(
          () => true,
          () => false,
        );
        const keep = random.pick([() => true, () => false, () => random.boolean()]);
        const after = await contentOf(await OverlaySource.open(base(), file.crashed(keep)));
        const allowed = flushed ? states.slice(-1) : states;
        for (let at = 0; at < SIZE; at += 512) {
          const sector = after.subarray(at, at + 512);
          // Writes that end within a sector replace parts of it: each byte is one of the states'.
          const fits = sector.every((byte, i) => allowed.some((state) => state[at + i] === byte));
          expect(fits, `sector at ${at}, round ${round}`).toBe(true);
        }
      }
    }));
});

test('trim empties whole blocks, and leaves the rest as it was', async () => {
  const overlay = await OverlaySource.create(base(), new MemoryOverlay());
  await overlay.trim(20_480 + 1, 3 * 4096);
  const model = Buffer.from(base().bytes).fill(0, 6 * 4096, 8 * 4096);
  expect((await contentOf(overlay)).equals(model)).toBe(true);
});

test('a disk of 15 TiB takes no room but for what is written, also when all of it is zeroed', async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, 'overlay');
  const size = 15 * 2 ** 40;
  const below: BlockSource = { size, read: async (_, buffer) => void buffer.fill(0x11) };
  const overlay = await OverlaySource.create(below, await FileOverlay.open(path, 'wx+'));
  await overlay.writeZeroes(4096, size - 8192);
  await overlay.write(size - 5000, Buffer.from('near the end'));
  await overlay.close();
  expect((await stat(path)).blocks * 512).toBeLessThan(2 ** 20);
  const again = await OverlaySource.open(below, await FileOverlay.open(path, 'r+'));
  const bytes = Buffer.alloc(5001);
  await again.read(size - 5001, bytes);
  expect(bytes.toString('latin1', 0, 13)).toBe('\0near the end');
  expect(bytes.subarray(-4096).every((byte) => byte === 0x11)).toBe(true);
  const kinds: [number, string][] = [];
  for await (const { length, kind } of again.extents(0, size)) kinds.push([length, kind]);
  expect(kinds).toEqual([
    [4096, 'data'],
    [size - 3 * 4096, 'zero'],
    [4096, 'data'],
    [4096, 'data'],
  ]);
  await again.close();
});

describe('is not opened', () => {
  const open = (file: MemoryOverlay, below = base()) =>
    OverlaySource.open(below, file, { identity: 'vda' }).then(
      () => 'opened',
      (error: unknown) => (error instanceof NbdServerError ? error.code : String(error)),
    );
  const created = async () => {
    const file = new MemoryOverlay();
    const overlay = await OverlaySource.create(base(), file, { identity: 'vda' });
    await overlay.write(SIZE - 1, Buffer.from('x'));
    await overlay.close();
    return file;
  };

  test('in a file that is not empty', async () => {
    const file = new MemoryOverlay();
    file.bytes = Buffer.from('precious');
    await expect(OverlaySource.create(base(), file)).rejects.toMatchObject({ code: 'USAGE' });
    expect(file.bytes.toString()).toBe('precious');
    expect(await open(file)).toBe('OVERLAY_FORMAT');
  });

  test('over another base', async () => {
    expect(await open(await created(), new MemorySource(pattern(8192)))).toBe('OVERLAY_MISMATCH');
    const file = new MemoryOverlay();
    await (await OverlaySource.create(base(), file, { identity: 'vdb' })).close();
    expect(await open(file)).toBe('OVERLAY_MISMATCH');
  });

  test('with any bit of its header flipped, or cut short at any block', async () => {
    const { bytes } = await created();
    for (let at = 0; at < 4096; at += 7) {
      const file = new MemoryOverlay();
      file.bytes = Buffer.from(bytes);
      file.bytes[at] = (file.bytes[at] ?? 0) ^ (1 << (at % 8));
      expect(await open(file), `byte ${at}`).toBe('OVERLAY_FORMAT');
    }
    for (let size = 0; size < bytes.byteLength; size += 4096) {
      const file = new MemoryOverlay();
      file.bytes = Buffer.from(bytes.subarray(0, size));
      expect(await open(file), `${size} bytes`).toBe('OVERLAY_FORMAT');
    }
  });
});

test('after a sync that failed no write is taken, and reads still go', async () => {
  const file = new MemoryOverlay();
  const overlay = await OverlaySource.create(base(), file);
  await overlay.write(0, Buffer.from('hello'));
  const failing = file.calls;
  file.before = (call) => {
    if (call === failing) throw Object.assign(new Error('no space'), { errno: 'ENOSPC' });
  };
  await expect(overlay.flush()).rejects.toThrow('no space');
  await expect(overlay.flush()).rejects.toMatchObject({ code: 'OVERLAY_FAILED' });
  await expect(overlay.write(0, Buffer.from('x'))).rejects.toMatchObject({ code: 'OVERLAY_FAILED' });
  expect((await contentOf(overlay)).toString('latin1', 0, 5)).toBe('hello');
});
