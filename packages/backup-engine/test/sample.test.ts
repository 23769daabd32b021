import { expect, test } from 'vitest';
import { sample } from '../src/copy/prove.ts';

const MIB = 1 << 20;

test('all of a disk is its blocks in order, the last one shorter', () => {
  const blocks = [...sample(2 * MIB + 512, 100, 'seed')];
  expect(blocks).toEqual([
    { start: 0, length: MIB },
    { start: MIB, length: MIB },
    { start: 2 * MIB, length: 512 },
  ]);
});

test('the same seed draws the same sample, another one another', () => {
  const drawn = (seed: string) => [...sample(500 * MIB, 10, seed)].map(({ start }) => start);
  expect(drawn('one')).toEqual(drawn('one'));
  expect(drawn('one')).not.toEqual(drawn('two'));
});

test('a sample has about the part of the disk that was asked for', () => {
  const count = [...sample(10_000 * MIB, 20, 'seed')].length;
  expect(count).toBeGreaterThan(1_800);
  expect(count).toBeLessThan(2_200);
});

test('of a small disk at least one block is drawn, and of an empty one none', () => {
  for (let seed = 0; seed < 50; seed++) expect([...sample(2 * MIB, 1, String(seed))].length).toBeGreaterThan(0);
  expect([...sample(0, 1, 'seed')]).toEqual([]);
});
