import { withSeed } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import { mutate } from './fuzz/mutate.ts';
import { probe } from './fuzz/probe.ts';
import { makeSeeds } from './fuzz/seeds.ts';

const ROUNDS = 2000;

test('undamaged seeds pass', async () => {
  for (const seed of await makeSeeds()) await probe(seed, seed.bytes);
});

test('the fuzzer notices a wrong byte', async () => {
  for (const seed of await makeSeeds()) {
    const disk = Buffer.from(seed.disk);
    disk[300] = (disk[300] ?? 0) ^ 1;
    await expect(probe({ ...seed, disk }, seed.bytes)).rejects.toThrow('Wrong bytes');
  }
});

test('no damage makes it hang, read without bound, fail in a foreign way or give bytes that were not in the file', async () => {
  const seeds = await makeSeeds();
  await withSeed(async (random) => {
    for (let round = 0; round < ROUNDS; round++) {
      const seed = random.pick(seeds);
      const input = mutate(seed.bytes, random, random.pick(seeds).bytes);
      await probe(seed, input).catch((error: unknown) => {
        expect.fail(`round ${round}, ${seed.name}: ${error instanceof Error ? error.message : error}`);
      });
    }
  });
});
