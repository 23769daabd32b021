import { withSeed } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import { BufferPool, type Lease } from '../src/copy/buffer-pool.ts';

const { signal } = new AbortController();

/** Whether it is there without anybody giving something back. */
async function isThere(lease: Promise<Lease>): Promise<boolean> {
  return await Promise.race([lease.then(() => true), new Promise<false>((resolve) => setImmediate(resolve, false))]);
}

test('small leases share a buffer, large ones have one each', async () => {
  const pool = new BufferPool(2, 100);
  for (let n = 0; n < 8; n++) expect((await pool.acquire(25, signal)).bytes).toHaveLength(25);
  expect(await isThere(pool.acquire(1, signal))).toBe(false);
  const tiny = new BufferPool(1, 100);
  for (let n = 0; n < 32; n++) await tiny.acquire(1, signal);
  expect(await isThere(tiny.acquire(1, signal))).toBe(false);
  const other = new BufferPool(2, 100);
  await other.acquire(100, signal);
  await other.acquire(51, signal);
  expect(await isThere(other.acquire(50, signal))).toBe(false);
});

test('a buffer is used again when the last of its leases is given back', async () => {
  const pool = new BufferPool(1, 100);
  const [first, second] = [await pool.acquire(40, signal), await pool.acquire(60, signal)];
  const third = pool.acquire(100, signal);
  second.release();
  expect(await isThere(third)).toBe(false);
  first.release();
  expect((await third).bytes).toHaveLength(100);
});

test('who waits hears of the abort, and takes nothing', async () => {
  const pool = new BufferPool(1, 100);
  const only = await pool.acquire(100, signal);
  const stop = new AbortController();
  const waiting = pool.acquire(100, stop.signal);
  stop.abort(new Error('stopped'));
  await expect(waiting).rejects.toThrow('stopped');
  await expect(pool.acquire(1, stop.signal)).rejects.toThrow('stopped');
  only.release();
  expect((await pool.acquire(100, signal)).bytes).toHaveLength(100);
});

test('leases that are out never overlap, whatever their sizes and the order of their return', async () => {
  await withSeed(async (random) => {
    const pool = new BufferPool(3, 64);
    const out: Lease[] = [];
    for (let n = 0; n < 2000; n++) {
      const giveBack = (): void => out.splice(random.integer(0, out.length - 1), 1)[0]?.release();
      const next = pool.acquire(random.integer(1, 64), signal);
      while (!(await isThere(next))) giveBack();
      const lease = await next;
      for (const { bytes } of out) {
        const apart =
          bytes.buffer !== lease.bytes.buffer ||
          bytes.byteOffset + bytes.length <= lease.bytes.byteOffset ||
          lease.bytes.byteOffset + lease.bytes.length <= bytes.byteOffset;
        expect(apart).toBe(true);
      }
      out.push(lease);
      if (random.boolean()) giveBack();
    }
  });
});
