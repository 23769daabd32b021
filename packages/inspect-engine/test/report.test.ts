import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type FrameSpec, fixtures, host, KIB, MIB, makePoint } from '@virtnbd/sample-sets';
import { findProgram, Random, requires } from '@virtnbd/test-kit';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { describeFolder, type FolderDescription, reportPage } from '../src/index.ts';
import { copyOfFixture, tempFolder } from './temp.ts';

const generated = new Date('2026-11-23T20:00:00Z');
/** Kept, so that a person can look at them. */
const output = fileURLToPath(new URL('../test-output/', import.meta.url));
const hostile = `</title><script>document.title="owned"</script><img src=x onerror=alert(1)>"'\u202e\u001b[2J`;

/** A month of a VM with two disks, hot and cold regions, and data that compresses well and badly. */
async function month(name: string): Promise<string> {
  const random = new Random(11);
  const folder = await tempFolder();
  const vm = { name, uuid: '4cddffbf-aab2-40d6-87f2-d9b20e6f0c07' };
  const start = Date.parse('2026-10-24T01:00:00Z');
  for (let number = 0; number < 24; number++) {
    const created = new Date(start + number * 86_400_000 + random.integer(0, 3_600_000));
    const vda = {
      disk: 'vda',
      virtualSize: 1024 * MIB,
      compression: 'lz4' as const,
      imageName: `<b onmouseover=alert(1)>'`,
      frames: scattered(random, number === 0),
    };
    const vdb = { disk: 'vdb', virtualSize: 64 * MIB, frames: [data(random, random.integer(0, 7) * 8 * MIB, 0.9)] };
    const disks = [vda, number === 0 ? { ...vdb, base: true } : vdb];
    await makePoint(folder, { number, created, disks, domain: vm });
    if (number !== 9) continue;
    const later = new Date(created.getTime() + 40_000_000);
    await makePoint(folder, { number, diff: '1793621784', created: later, disks: [vda], domain: vm });
  }
  return folder;
}

function scattered(random: Random, full: boolean): FrameSpec[] {
  const frames: FrameSpec[] = [];
  for (let start = 0; start < 1024 * MIB; start += MIB) {
    const hot = start < 64 * MIB || (start > 500 * MIB && start < 540 * MIB);
    if (random.boolean(full ? 0.25 : hot ? 0.3 : 0.01)) frames.push(data(random, start, start / (1024 * MIB)));
  }
  return frames;
}

/** @param noise share of it that does not compress */
function data(random: Random, start: number, noise: number): FrameSpec {
  const fill = new Uint8Array(64 * KIB).fill(random.integer(1, 255));
  fill.set(random.bytes(Math.floor(fill.length * noise)));
  return { start, length: fill.length, fill };
}

test('names and messages of a backup are escaped', async () => {
  const folder = await copyOfFixture('offline-copy');
  await writeFile(join(folder, 'x.cpt'), '[]');
  const description: FolderDescription = {
    ...(await describeFolder(host, folder)),
    folder: hostile,
    domain: { name: hostile, uuid: null },
    unfinished: [{ id: hostile, state: 'partial', files: [{ name: hostile, fileBytes: 1 }], fileBytes: 1 }],
    strays: [{ name: hostile, fileBytes: 1, state: 'foreign', reason: hostile }],
    problems: [{ code: 'FOREIGN', message: hostile, files: [hostile], severity: 'error' }],
    points: (await describeFolder(host, folder)).points.map((point) => ({
      ...point,
      id: hostile,
      date: hostile,
      reason: hostile,
      boot: {
        at: hostile,
        passed: true,
        sign: 'screen',
        seconds: 1,
        message: hostile,
        writer: { name: hostile, version: '' },
      },
      disks: point.disks.map((disk) => ({
        ...disk,
        disk: hostile,
        imageName: hostile,
        format: hostile,
        file: hostile,
      })),
    })),
  };
  const page = reportPage(description, { generated });
  expect(page).not.toMatch(/<script|<img|onerror=alert\(1\)>"/i);
  expect(page).not.toContain('\u202e');
  expect(page).not.toContain('\u001b');
  expect(page).toContain('&lt;/title&gt;&lt;script&gt;');
});

test('the page needs no network, and forbids itself scripts', async () => {
  const page = reportPage(await describeFolder(host, join(fixtures, 'plain-full-inc-inc-diff')), { generated });
  expect(page).toContain(`content="default-src 'none'; style-src 'unsafe-inline'`);
  expect(page).not.toMatch(/https?:|\bsrc=|\bhref=|url\(|@import/);
});

test('an empty folder has a page, too', async () => {
  expect(reportPage(await describeFolder(host, await tempFolder()), { generated })).toContain('no restore point');
});

describe.skipIf(requires('chromium').skip)('in a browser', () => {
  let browser: Browser;
  beforeAll(async () => {
    await mkdir(output, { recursive: true });
    const args = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];
    browser = await chromium.launch({
      executablePath: findProgram('chromium') ?? '',
      chromiumSandbox: false,
      args: [...args, '--disable-component-update', '--disable-sync'],
    });
  });
  afterAll(() => browser?.close());

  /** Opens a page about a folder, and collects whatever the browser complains about. */
  async function open(folder: string, width: number, colorScheme: 'light' | 'dark' = 'light') {
    const description = await describeFolder(host, folder);
    const path = join(await tempFolder(), 'report.html');
    await writeFile(path, reportPage(description, { generated }));
    const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on('console', (message) => void complaints.push(message.text()));
    page.on('pageerror', (error) => void complaints.push(error.message));
    page.on('dialog', (dialog) => void complaints.push(`dialog: ${dialog.message()}`));
    page.on('request', (request) => {
      if (request.url() !== pathToFileURL(path).href) complaints.push(`request: ${request.url()}`);
    });
    await page.goto(pathToFileURL(path).href);
    return { page, description, complaints, close: () => context.close() };
  }

  async function shoot(page: Page, name: string): Promise<void> {
    const path = join(output, `${name}.png`);
    await page.screenshot({ path, fullPage: true });
    process.stdout.write(`a picture of the report: ${path}\n`);
  }

  const overflow = (page: Page) =>
    page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');

  test.each([
    ['plain-full-inc-inc-diff', () => join(fixtures, 'plain-full-inc-inc-diff')],
    ['two-disks-one-raw', () => join(fixtures, 'two-disks-one-raw')],
    ['interrupted-partial', () => join(fixtures, 'interrupted-partial')],
    ['lz4-cut-frames', () => join(fixtures, 'lz4-cut-frames')],
  ])(
    '%s: no complaint, every figure is that of the JSON, nothing to scroll sideways on a phone',
    async (_name, path) => {
      const { page, description, complaints, close } = await open(path(), 375);
      const figures = await page.$$eval('[data-figure]', (elements) =>
        elements.map((element) => [
          element.getAttribute('data-figure') ?? '',
          element.getAttribute('data-value') ?? '',
          element.textContent ?? '',
        ]),
      );
      for (const [path = '', value, text] of figures) expect([path, value, text]).toEqual(figureOf(description, path));
      expect(figures.length).toBeGreaterThan(3);
      expect(await overflow(page)).toBe(0);
      expect(complaints).toEqual([]);
      await close();
    },
  );

  test('a month of backups, at a desk, on a phone, and in the dark', async () => {
    const folder = await month('web-01');
    for (const [name, width, scheme] of [
      ['desktop', 1200, 'light'],
      ['desktop-dark', 1200, 'dark'],
      ['phone', 375, 'light'],
      ['phone-dark', 375, 'dark'],
    ] as const) {
      const { page, description, complaints, close } = await open(folder, width, scheme);
      await page.locator('details').nth(1).locator('summary').click();
      expect(await page.locator('li.point').count()).toBe(description.points.length);
      expect(await page.locator('.mark').count()).toBe(description.points.length);
      const cells = description.regions.reduce((sum, { count }) => sum + 2 * count, 0);
      expect(await page.locator('svg.cells rect').count()).toBe(cells);
      expect(await overflow(page)).toBe(0);
      expect(complaints).toEqual([]);
      await shoot(page, name);
      await close();
    }
  });

  test('hostile names are text, and a damaged chain says so', async () => {
    const folder = await month(hostile.replaceAll('/', '⁄').replaceAll('\u001b', ''));
    const path = join(folder, 'vda.inc.virtnbdbackup.20.data');
    await host.files.remove(path);
    await writeFile(join(folder, `vda.inc.${hostile.replaceAll('/', '').slice(0, 60)}.data`), 'x');
    const { page, complaints, close } = await open(folder, 375);
    expect(await page.title()).toContain('<script>');
    expect(await page.locator('script, img, b[onmouseover]').count()).toBe(0);
    expect(await page.locator('.verdict.bad').textContent()).toContain('4 of 25');
    expect(await overflow(page)).toBe(0);
    expect(complaints).toEqual([]);
    await shoot(page, 'phone-damaged');
    await close();
  });

  test('light and dark differ, and text stands out in both', async () => {
    const folder = join(fixtures, 'plain-full-inc-inc-diff');
    const contrasts: number[] = [];
    for (const scheme of ['light', 'dark'] as const) {
      const { page, close } = await open(folder, 1200, scheme);
      const colours = await page.evaluate<string[]>(`(() => {
        const note = document.querySelector('.note');
        return [getComputedStyle(note).color, getComputedStyle(note.closest('section')).backgroundColor];
      })()`);
      contrasts.push(contrastOf(colours));
      await close();
    }
    // WCAG 2.2, AA, for small text
    for (const contrast of contrasts) expect(contrast).toBeGreaterThan(4.5);
  });
});

/** A figure as the page must show it. */
function figureOf(description: FolderDescription, path: string): [string, string, string] {
  const value = path.split('.').reduce<unknown>((inner, key) => (inner as Record<string, unknown>)[key], description);
  if (value === null) return [path, 'null', '–'];
  if (typeof value !== 'number') throw new Error(`${path} is no number`);
  return [path, String(value), textOf(path, value)];
}

function textOf(path: string, value: number): string {
  if (path.endsWith('ratio')) return `${value >= 100 ? Math.round(value) : value.toFixed(value >= 10 ? 1 : 2)} : 1`;
  if (!/Bytes$|Size$/.test(path)) return String(value);
  let scaled = value;
  let unit = 0;
  for (; scaled >= 1024; unit++) scaled /= 1024;
  const number = scaled >= 100 ? Math.floor(scaled) : Number.isInteger(scaled) ? scaled : scaled.toFixed(1);
  return `${number}\u00a0${['B', 'KiB', 'MiB', 'GiB'][unit]}`;
}

function contrastOf([text = '', ground = '']: readonly string[]): number {
  const luminance = (colour: string): number => {
    const [r = 0, g = 0, b = 0] = (colour.match(/\d+/g) ?? []).map((part) => {
      const value = Number(part) / 255;
      return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [a, b] = [luminance(text), luminance(ground)].sort((x, y) => y - x);
  return ((a ?? 0) + 0.05) / ((b ?? 0) + 0.05);
}
