import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { copyDisk } from '../src/copy/copy-disk.ts';
import { ExtentTable } from '../src/copy/extent-table.ts';

const MIB = 1 << 20;

/** A disk whose byte at offset n tells n; reads take a time that shuffles their ends. */
function reader(options: { failAt?: number } = {}) {
  let reads = 0;
  return {
    async read(offset: number, buffer: Uint8Array): Promise<void> {
      const number = reads++;
      await sleep((number * 7) % 5);
      if (number === options.failAt) throw new Error('EIO');
      buffer.fill((offset / 65536) % 251);
    },
    get reads() {
      return reads;
    },
  };
}

/** Notes the frames in the order of the calls, and checks each payload when its write ends. */
function writer(options: { failAt?: number } = {}) {
  const frames: string[] = [];
  let calls = 0;
  const end = async (): Promise<void> => {
    const call = calls++;
    await sleep((call * 3) % 4);
    if (call === options.failAt) throw new Error('ENOSPC');
  };
  return {
    frames,
    async data(start: number, payload: Uint8Array): Promise<void> {
      frames.push(`data ${start / 65536} ${payload.length / 65536}`);
      const expected = (start / 65536) % 251;
      await end();
      if (payload[0] !== expected || payload.at(-1) !== expected) throw new Error(`wrong bytes at ${start}`);
    },
    async zero(start: number, length: number): Promise<void> {
      frames.push(`zero ${start / 65536} ${length / 65536}`);
      await end();
    },
  };
}

function table(): ExtentTable {
  const extents = new ExtentTable();
  for (let i = 0; i < 40; i++) extents.add(i * MIB, i % 3 === 0 ? 65536 : MIB, i % 4 === 1 ? 'zero' : 'data');
  return extents;
}

test('frames reach the writer in ascending order, with the bytes of their place', async () => {
  const out = writer();
  let bytes = 0;
  await copyDisk(reader(), out, table(), { onBytes: (count) => (bytes += count) });
  const starts = out.frames.map((frame) => Number(frame.split(' ')[1]));
  expect(starts).toEqual(starts.toSorted((a, b) => a - b));
  expect(bytes).toBe(table().dataBytes);
});

test('whichever read fails, the copy fails with its error', async () => {
  const total = reader();
  await copyDisk(total, writer(), table());
  for (let failAt = 0; failAt < total.reads; failAt++)
    await expect(copyDisk(reader({ failAt }), writer(), table())).rejects.toThrow('EIO');
});

test('whichever write fails, the copy fails with its error', async () => {
  const out = writer();
  await copyDisk(reader(), out, table());
  for (let failAt = 0; failAt < out.frames.length; failAt++)
    await expect(copyDisk(reader(), writer({ failAt }), table())).rejects.toThrow('ENOSPC');
});

test('an abort ends the copy with its reason', async () => {
  const controller = new AbortController();
  const stopping = copyDisk(reader(), writer(), table(), {
    signal: controller.signal,
    onBytes: () => controller.abort(new Error('stop')),
  });
  await expect(stopping).rejects.toThrow('stop');
});

test('a long row of zero frames without data is copied', async () => {
  const extents = new ExtentTable();
  for (let i = 0; i < 5000; i++) extents.add(i * 2 * 65536, 65536, 'zero');
  const out = writer();
  await copyDisk(reader(), out, extents);
  expect(out.frames).toHaveLength(5000);
});
