/*
 * pnpm --filter @virtnbd/fuzz run fuzz [SECONDS]: until it is stopped, or for so long. The seed of each thousand inputs is
 * told; VIRTNBD_SEED begins with one of them. An input that is a finding is written to the current folder.
 */
import { writeFileSync } from 'node:fs';
import { Random, seedFromEnvironment } from '@virtnbd/test-kit';
import { mutate } from '../../../packages/stream-format/test/fuzz/mutate.ts';
import { probe } from '../../../packages/stream-format/test/fuzz/probe.ts';
import { makeSeeds } from '../../../packages/stream-format/test/fuzz/seeds.ts';

const INPUTS = 1000;
/** No input takes near as long: it hangs. */
const HANG_MS = 20_000;
/** Resident memory that no input may come near. */
const MEMORY_BYTES = 512 * 1024 * 1024;

const say = (line: string) => process.stdout.write(`${line}\n`);
const end = Date.now() + Number(process.argv[2] ?? Number.POSITIVE_INFINITY) * 1000;
const seeds = await makeSeeds();
let findings = 0;

for (let number = seedFromEnvironment(); Date.now() < end && findings < 10; number = (number + 1) % 2 ** 32) {
  const random = new Random(number);
  for (let i = 0; i < INPUTS; i++) {
    const seed = random.pick(seeds);
    const input = mutate(seed.bytes, random, random.pick(seeds).bytes);
    const problem = await outcome(probe(seed, input));
    if (problem === undefined) continue;
    findings++;
    const path = `finding-${number}-${i}.data`;
    writeFileSync(path, input);
    say(`${path} (of ${seed.name}): ${problem}`);
  }
  say(`seed ${number}: ${INPUTS} inputs, ${findings} findings, ${Math.round(process.memoryUsage.rss() / 2 ** 20)} MiB`);
}
process.exitCode = findings > 0 ? 1 : 0;

async function outcome(work: Promise<void>): Promise<string | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const hang = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve('it hangs'), HANG_MS);
  });
  const problem = await Promise.race([
    work.then(
      () => undefined,
      (error: unknown) => String(error instanceof Error ? error.message : error),
    ),
    hang,
  ]);
  clearTimeout(timer);
  return problem ?? (process.memoryUsage.rss() > MEMORY_BYTES ? 'it takes more than 512 MiB of memory' : undefined);
}
