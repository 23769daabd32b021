import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { copyOfFixture, fixtures, tempFolder, virtnbd } from './support.ts';

const chain = join(fixtures, 'plain-full-inc-inc-diff');

test('an intact folder verifies: exit 0, every point ok, the rate is told', async () => {
  const { status, stdout, stderr } = await virtnbd(['verify', chain, '--deep', '--jobs', '4']);
  expect(status).toBe(0);
  expect(stdout.match(/ ok$/gm)).toHaveLength(5);
  expect(stderr).toMatch(/verify: .* in .*\/s/);
});

test('damage: exit 1, the file and the points that it spoils', async () => {
  const folder = await copyOfFixture('plain-full-inc-inc-diff');
  const path = join(folder, 'vda.inc.virtnbdbackup.1.data');
  const bytes = await readFile(path);
  bytes[9000] = (bytes[9000] ?? 0) ^ 1;
  await writeFile(path, bytes);
  const { status, stdout } = await virtnbd(['verify', folder, '-n']);
  expect(status).toBe(1);
  expect(stdout).toContain('spoils: virtnbdbackup.1, virtnbdbackup.2, 1795421522');
  const until = await virtnbd(['verify', folder, '--until', 'virtnbdbackup.0', '--json', '-n']);
  expect([until.status, JSON.parse(until.stdout)]).toMatchObject([0, { verdict: 'ok', until: 'virtnbdbackup.0' }]);
  const json = JSON.parse((await virtnbd(['verify', folder, '--json'])).stdout);
  expect(json).toMatchObject({ schema: 'virtnbd-verify', version: 1, verdict: 'damaged' });
  expect(json.damage[0].diskRanges).toEqual([{ start: 0, length: 16777216 }]);
});

test('without a checksum: not verifiable, exit 1', async () => {
  const { status, stdout } = await virtnbd(['verify', join(fixtures, 'type-raw-full')]);
  expect([status, stdout]).toEqual([1, expect.stringContaining('not verifiable')]);
});

test.each([
  [['verify'], 2],
  [['verify', chain, '--jobs', '0'], 2],
  [['verify', chain, '--until', 'nothing'], 1],
  [['diff', chain, 'virtnbdbackup.0'], 2],
  [['diff', chain, 'virtnbdbackup.0', 'nothing'], 1],
  [['diff', chain, 'virtnbdbackup.0', 'latest', '--disk', 'vd'], 1],
] as const)('%j ends with %i and says why', async (args, code) => {
  const { status, stdout, stderr } = await virtnbd(args);
  expect([status, stdout]).toEqual([code, '']);
  expect(stderr).not.toBe('');
});

test('an empty folder: exit 1, nothing to verify', async () => {
  const { status, stderr } = await virtnbd(['verify', await tempFolder()]);
  expect([status, stderr]).toEqual([1, expect.stringContaining('nothing to verify')]);
});

test('diff tells ranges by headers, and by content', async () => {
  const headers = await virtnbd(['diff', chain, 'virtnbdbackup.0', 'virtnbdbackup.1']);
  expect([headers.status, headers.stdout]).toEqual([0, expect.stringMatching(/^vda: 256 KiB in \d ranges may differ/)]);
  const content = await virtnbd(['diff', chain, 'virtnbdbackup.0', 'latest', '--content', '--json', '-d', 'vda']);
  expect(JSON.parse(content.stdout)).toMatchObject({
    schema: 'virtnbd-diff',
    version: 1,
    content: true,
    granularity: 4096,
    disks: [{ disk: 'vda', bytes: 327680, rangeCount: 3 }],
  });
  const same = await virtnbd(['diff', chain, 'virtnbdbackup.1', 'virtnbdbackup.2']);
  expect([same.status, same.stdout]).toEqual([0, 'vda: equal\n']);
});
