import { expect, test } from 'vitest';
import { JsonLines } from '../src/json-lines.ts';

function lines() {
  const clock = { now: 0 };
  const told: Record<string, unknown>[] = [];
  const json = new JsonLines(
    (line) => told.push(JSON.parse(line)),
    () => clock.now,
  );
  return { clock, told, json };
}

test('an event is a line with its name, the time and its fields', () => {
  const { json, told } = lines();
  json.hear({ type: 'thawed', frozenMs: 12 });
  expect(told).toEqual([{ event: 'thawed', time: expect.stringMatching(/^\d{4}-.*Z$/), frozenMs: 12 }]);
});

test('progress is summed up, a line a second a disk, and one at the end', () => {
  const { clock, json, told } = lines();
  json.hear({ type: 'disk', disk: 'vda', virtualSize: 4000, dataBytes: 2000, zeroBytes: 0 });
  for (clock.now = 0; clock.now <= 1000; clock.now += 500) json.hear({ type: 'progress', disk: 'vda', bytes: 400 });
  clock.now = 1500;
  json.hear({ type: 'progress', disk: 'vda', bytes: 800 });
  json.hear({ type: 'disk-done', disk: 'vda', file: 'vda.full.data', fileSize: 2100 });
  expect(told.filter(({ event }) => event === 'progress')).toEqual([
    expect.objectContaining({ disk: 'vda', done: 1200, total: 2000, bytesPerSecond: 1200, secondsLeft: 1 }),
    expect.objectContaining({ disk: 'vda', done: 2000, total: 2000, secondsLeft: 0 }),
  ]);
});
