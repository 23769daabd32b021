import { expect, test } from 'vitest';
import { RateLimit } from '../src/copy/rate-limit.ts';

test('bytes wait until those before them have had their time', () => {
  const clock = { now: 5000 };
  const limit = new RateLimit(1000, () => clock.now);
  expect([limit.reserve(500), limit.reserve(1000), limit.reserve(1)]).toEqual([0, 500, 1500]);
});

test('time that was not used is not saved up', () => {
  const clock = { now: 0 };
  const limit = new RateLimit(1000, () => clock.now);
  limit.reserve(1000);
  clock.now = 60_000;
  expect([limit.reserve(1000), limit.reserve(1000)]).toEqual([0, 1000]);
});

test('a read that waits for its turn ends with its signal, and is not made', async () => {
  const limit = new RateLimit(1);
  const reads: number[] = [];
  const reader = limit.over({ read: async (offset) => void reads.push(offset) });
  await reader.read(0, new Uint8Array(1000));
  const controller = new AbortController();
  const waiting = reader.read(1, new Uint8Array(1), { signal: controller.signal });
  controller.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
  expect(reads).toEqual([0]);
});
