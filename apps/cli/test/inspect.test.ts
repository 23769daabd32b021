import { readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { requires } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { copyOfFixture, fixtures, onTerminal, tempFolder, virtnbd } from './support.ts';

const chain = join(fixtures, 'plain-full-inc-inc-diff');
const file = join(fixtures, 'lz4-with-zeroed-ranges/vda.full.data');

describe('of a folder', () => {
  test('shows the points as a tree, their sizes and what they could be restored to', async () => {
    const { status, stdout } = await virtnbd(['inspect', chain]);
    expect(status).toBe(0);
    expect(stdout).toContain('4 restore points, all complete');
    expect(stdout).toMatch(/● virtnbdbackup\.0 +full +2026-11-23 08:11:57 +vda +1\.4 MiB/);
    expect(stdout).toMatch(/└─◇ 1795421522 \(latest\) +diff/);
    expect(stdout).toContain('vda: 16.0 MiB qcow2, from 3 files, base virtnbdbackup.0');
    expect(stdout).not.toContain('\u001b');
  });

  test('a run that did not end is partial: no failure', async () => {
    const { status, stdout } = await virtnbd(['inspect', join(fixtures, 'interrupted-partial')]);
    expect([status, stdout]).toEqual([0, expect.stringMatching(/copy .* partial/)]);
  });

  test('a test boot shows with its point, in the table and on the page', async () => {
    const folder = await copyOfFixture('plain-full-inc-inc-diff');
    const writer = { name: 'virtnbd', version: '1.0.0' };
    const boot = {
      at: '2026-11-24T03:00:00Z',
      passed: false,
      sign: 'agent',
      seconds: 300,
      message: 'no answer',
      writer,
    };
    const verdict = { format: 'virtnbd-verdict', version: 1, point: 'virtnbdbackup.1', boot };
    await writeFile(join(folder, 'virtnbdbackup.1.verdict.json'), JSON.stringify(verdict));
    const html = join(folder, 'report.html');
    const { status, stdout } = await virtnbd(['inspect', folder]);
    expect([status, stdout]).toEqual([
      0,
      expect.stringMatching(/test boot failed 2026-11-2\d .*, after 300 s: no answer/),
    ]);
    expect((await virtnbd(['inspect', folder, '--html', html])).status).toBe(0);
    expect(await readFile(html, 'utf8')).toContain('test boot failed 2026-11-24 03:00 UTC, after 300 s: no answer');
  });

  test('damage: exit 1, and the reason', async () => {
    const folder = await copyOfFixture('plain-full-inc-inc-diff');
    await truncate(join(folder, 'vda.inc.virtnbdbackup.1.data'), 1000);
    const { status, stdout } = await virtnbd(['inspect', folder]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/✗ virtnbdbackup\.2 .* damaged/);
    expect(stdout).toContain('vda.inc.virtnbdbackup.1.data');
  });

  test('--json has the schema and version, --html the same figures', async () => {
    const html = join(await tempFolder(), 'report.html');
    const json = await virtnbd(['inspect', chain, '--json', '--html', html]);
    const folder = JSON.parse(json.stdout);
    expect([json.status, folder.schema, folder.version]).toEqual([0, 'virtnbd-folder', 1]);
    const page = await readFile(html, 'utf8');
    const figures = [...page.matchAll(/data-figure="([^"]+)" data-value="([^"]+)"/g)];
    expect(figures.length).toBeGreaterThan(20);
    for (const [, path = '', value] of figures) {
      const found = path.split('.').reduce((inner, key) => inner[key], folder);
      expect([path, String(found)]).toEqual([path, value]);
    }
  });
});

describe('of a file', () => {
  test('shows header, frames, histogram and a map', async () => {
    const { status, stdout } = await virtnbd(['inspect', file]);
    expect(status).toBe(0);
    for (const part of ['vda, 16.0 MiB, qcow2', 'lz4, level 2', 'Frame sizes', 'Map of the disk'])
      expect(stdout).toContain(part);
  });

  test('--frames lists them, with --json as data', async () => {
    const lines = (await virtnbd(['inspect', file, '--frames'])).stdout.trim().split('\n');
    const { frames, statistics } = JSON.parse((await virtnbd(['inspect', file, '--frames', '--json'])).stdout);
    expect(lines).toHaveLength(frames.length + 1);
    expect(frames).toHaveLength(statistics.dataFrames + statistics.zeroFrames);
    expect(lines[1]?.trim().split(/ +/).slice(0, 3)).toEqual([
      frames[0].kind,
      `${frames[0].start}`,
      `${frames[0].length}`,
    ]);
  });

  test('an unfinished file: exit 1, and its header as far as it goes', async () => {
    const partial = join(fixtures, 'interrupted-partial/vda.copy.data.partial');
    const { status, stdout } = await virtnbd(['inspect', partial]);
    expect([status, stdout]).toEqual([1, expect.stringContaining('as far as it can be read')]);
  });
});

describe.skipIf(requires('script').skip)('on a terminal', () => {
  test.each([50, 80, 132])('no line of a folder is longer than %i columns', async (columns) => {
    const { stdout } = await onTerminal(columns, ['inspect', chain], { ...process.env, NO_COLOR: '' });
    expect(stdout).toContain('\u001b[32mcomplete');
    const [, , ...table] = stripVTControlCharacters(stdout).split(/\r?\n/);
    for (const line of table) expect([...line].length).toBeLessThanOrEqual(columns);
  });

  test('the map of a file fits, in colour, and without colour under NO_COLOR and --nocolor', async () => {
    const coloured = await onTerminal(60, ['inspect', file], { ...process.env, NO_COLOR: '' });
    expect(coloured.stdout).toContain('\u001b[34m·');
    for (const line of stripVTControlCharacters(coloured.stdout).split(/\r?\n/).slice(1))
      expect([...line].length).toBeLessThanOrEqual(60);
    const plain = await onTerminal(60, ['inspect', file], { ...process.env, NO_COLOR: '1' });
    const asked = await onTerminal(60, ['inspect', file, '--nocolor'], { ...process.env, NO_COLOR: '' });
    for (const { stdout } of [plain, asked]) expect(stdout).not.toContain('\u001b[3');
  });
});

test.each([
  [['inspect'], 2],
  [['inspect', '/nowhere/at/all'], 1],
  [['inspect', chain, '--frames'], 2],
  [['inspect', file, '--html', '/nowhere/x.html'], 2],
  [['inspect', chain, '--html', '/nowhere/x.html'], 1],
  [['inspect', chain, '--nope'], 2],
  [['inspect', chain, file], 2],
] as const)('%j ends with %i and says why', async (args, code) => {
  const { status, stdout, stderr } = await virtnbd(args);
  expect([status, stdout]).toEqual([code, '']);
  expect(stderr).not.toBe('');
});

test('names and dates of a backup cannot move the cursor', async () => {
  const folder = await copyOfFixture('offline-copy');
  await writeFile(join(folder, '\u202eevil.cpt'), '[]');
  const path = join(folder, 'vda.copy.data');
  const bytes = await readFile(path);
  // An escape in the header's JSON, of the same length as what it replaces.
  bytes.write('\\u001b', bytes.indexOf('"date": "') + '"date": "'.length, 'latin1');
  await writeFile(path, bytes);
  for (const target of [folder, path]) {
    const { stdout } = await virtnbd(['inspect', target]);
    expect(stdout).toContain('\\u{1b}');
    for (const hidden of ['\u202e', '\u001b']) expect(stdout).not.toContain(hidden);
  }
});
