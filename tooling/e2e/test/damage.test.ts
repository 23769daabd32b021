import { copyFile, cp, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { run } from '../src/commands.ts';
import { Scenario } from '../src/scenario.ts';

/** Small enough that every byte of its files can be damaged in turn. */
const SIZE = 128 << 10;
let scenario: Scenario;

beforeAll(async () => {
  scenario = await Scenario.start([{ target: 'vda', size: SIZE, createOptions: ['-o', 'cluster_size=512'] }]);
  await scenario.vm.write('vda', 0, 1024, 0x41);
  await scenario.backup('full', 'virtnbdbackup.0', '-z');
  await scenario.vm.write('vda', 65536, 512, 0x42);
  await scenario.backup('inc', 'virtnbdbackup.1');
});
afterAll(() => scenario[Symbol.asyncDispose]());

/** A copy of the backup folder to damage. */
async function damaged(name: string): Promise<string> {
  const copy = join(scenario.work.path, `damaged-${name}`);
  await rm(copy, { recursive: true, force: true });
  await cp(scenario.folder, copy, { recursive: true });
  return copy;
}

/** Restores the newest point; it must fail, name `file`, and leave no image. */
async function expectRefused(folder: string, file: string): Promise<void> {
  const target = `${folder}-restored`;
  await rm(target, { recursive: true, force: true });
  const result = await run('virtnbdrestore', ['-i', folder, '-o', target, '-n'], scenario.env);
  expect(result.code, result.stderr).toBe(1);
  expect(result.stderr).toContain(file);
  const left = (await readdir(target).catch(() => [])).filter((name) => name.includes('qcow2'));
  expect(left).toEqual([]);
}

test.each(['vda.full.data', 'vda.inc.virtnbdbackup.1.data'])('a byte changed in %s is refused', async (file) => {
  const folder = await damaged(file);
  const path = join(folder, file);
  const good = await readFile(path);
  // The reader itself is tested with every bit of every byte; the command with a spread of places.
  const places = [0, 3, 41, 60, Math.floor(good.length / 2), good.length - 45, good.length - 1];
  for (const place of places) {
    const bad = Buffer.from(good);
    bad.writeUInt8(bad.readUInt8(place) ^ 0x01, place);
    await writeFile(path, bad);
    await expectRefused(folder, file);
  }
});

test.each(['vda.full.data', 'vda.inc.virtnbdbackup.1.data'])('a truncated %s is refused', async (file) => {
  const folder = await damaged(file);
  const path = join(folder, file);
  const { size } = await stat(path);
  for (const left of [0, 39, Math.floor(size / 2), size - 1]) {
    await copyFile(join(scenario.folder, file), path);
    await truncate(path, left);
    await expectRefused(folder, file);
  }
});

test('bytes after the end of a stream file are refused', async () => {
  const folder = await damaged('longer');
  await using file = await open(join(folder, 'vda.full.data'), 'a');
  await file.write('x');
  await expectRefused(folder, 'vda.full.data');
});

test('a missing increment is refused, and named', async () => {
  const folder = await damaged('missing');
  await rm(join(folder, 'vda.inc.virtnbdbackup.1.data'));
  await expectRefused(folder, 'vda.inc.virtnbdbackup.1.data');
});

test('an increment in the place of another is refused', async () => {
  const folder = await damaged('swapped');
  await copyFile(join(folder, 'vda.inc.virtnbdbackup.1.data'), join(folder, 'vda.full.data'));
  await expectRefused(folder, 'vda.full.data');
});

test('an older point is restored although a newer increment is damaged', async () => {
  const folder = await damaged('newer');
  await truncate(join(folder, 'vda.inc.virtnbdbackup.1.data'), 100);
  const target = `${folder}-older`;
  const result = await run(
    'virtnbdrestore',
    ['-i', folder, '-o', target, '-n', '--until', 'virtnbdbackup.0'],
    scenario.env,
  );
  expect(result.code, result.stderr).toBe(0);
});
