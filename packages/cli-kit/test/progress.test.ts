import { describe, expect, test } from 'vitest';
import { formatBytes, formatDuration, Logger, openProgress, Screen } from '../src/index.ts';

async function lines(enabled = true) {
  const shown: string[] = [];
  let time = 0;
  const screen = new Screen({ write: (text) => shown.push(text) });
  const log = new Logger({ screen, now: () => new Date(0) });
  const progress = await openProgress({ screen, log, enabled, now: () => time });
  const advance = (ms: number) => {
    time += ms;
  };
  return { progress, advance, texts: () => shown.map((line) => line.trimEnd().split(' INFO ')[1]) };
}

const MiB = 1024 ** 2;

describe('progress without a terminal', () => {
  test('is a line at each tenth and one at the end', async () => {
    const { progress, advance, texts } = await lines();
    const task = progress.task('vda', 100 * MiB);
    for (let i = 0; i < 20; i++) {
      advance(1000);
      task.add(5 * MiB);
    }
    task.finish();
    task.finish();
    expect(texts().length).toBe(10);
    expect(texts()[0]).toBe('vda: 10 % (10.0 MiB of 100 MiB), 5.0 MiB/s, 18 s left');
    expect(texts().at(-1)).toBe('vda: 100 MiB in 20 s, 5.0 MiB/s');
  });

  test('is at most one line a second, however fast it goes', async () => {
    const { progress, advance, texts } = await lines();
    const task = progress.task('vda', 1000);
    for (let i = 0; i < 1000; i++) {
      advance(2);
      task.add(1);
    }
    expect(texts().length).toBeLessThanOrEqual(2);
  });

  test('is a line in half a minute, however slow it goes', async () => {
    const { progress, advance, texts } = await lines();
    const task = progress.task('vda', 1_000_000);
    for (let i = 0; i < 60; i++) {
      advance(1000);
      task.add(1);
    }
    expect(texts().length).toBe(2);
  });

  test('copes with a disk that has no data and with more than was announced', async () => {
    const { progress, texts } = await lines();
    progress.task('vda', 0).finish();
    const task = progress.task('vdb', 10);
    task.update(50);
    task.finish();
    expect(texts()).toEqual(['vda: 0 B in 0 s', 'vdb: 10 B in 0 s']);
  });

  test('is nothing when disabled', async () => {
    const { progress, advance, texts } = await lines(false);
    const task = progress.task('vda', 10);
    advance(100_000);
    task.update(5);
    task.finish();
    progress.stop();
    expect(texts()).toEqual([]);
  });
});

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.0 KiB'],
  [1.5 * 1024 ** 3, '1.5 GiB'],
  [100 * 1024 ** 2, '100 MiB'],
  [8 * 1024 ** 5, '8.0 PiB'],
  [-5, '0 B'],
])('%d bytes are shown as %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test.each([
  [400, '0 s'],
  [9_000, '9 s'],
  [125_000, '2 min 05 s'],
  [12_000_000, '3 h 20 min'],
])('%d ms are shown as %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});
