import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RestorePoint } from '../src/index.ts';
import { orderPoints } from '../src/points/chain.ts';
import { choosePoint } from '../src/points/choose-point.ts';

// Read by Date whenever it is used; this file runs in a process of its own.
process.env.TZ = 'Europe/Berlin';

const full = point('virtnbdbackup.0', 'full', null, '2026-11-20T20:00:00.000Z');
const monday = point('virtnbdbackup.1', 'inc', full.id, '2026-11-23T08:12:36.780Z');
const offline = point('1795530000', 'diff', monday.id, ''); // 2026-11-24T14:20:00Z
const wednesday = point('virtnbdbackup.2', 'inc', monday.id, '2026-11-25T08:00:00.500Z');
const week = [full, monday, offline, wednesday];

function point(id: string, level: RestorePoint['level'], parent: string | null, date: string): RestorePoint {
  return { id, level, checkpoint: id, parent, date, manifest: null, disks: [], faults: [] };
}

const choose = (text: string, points: readonly RestorePoint[] = week): string =>
  choosePoint(orderPoints(points), text, '/backup/vm1').id;

describe('a point', () => {
  test.each(week.map(({ id }) => id))('is named by its id: %s', (id) => {
    expect(choose(id)).toBe(id);
  });

  test('that nobody made is refused, and all that are there are listed with their dates', () => {
    expect(() => choose('virtnbdbackup.7')).toThrowError(
      expect.objectContaining({
        code: 'UNKNOWN_POINT',
        message: expect.stringContaining(
          'virtnbdbackup.1 (2026-11-23T08:12:36.780Z), 1795530000 (2026-11-24T14:20:00.000Z), virtnbdbackup.2',
        ),
      }),
    );
  });

  test.each([
    '2026-13-01',
    '2026-02-30',
    '2026-11-23 24:00',
    '2026-11-23 08:61',
    '23.11.2026',
    'yesterday',
    '',
    '1795530001',
  ])('is not guessed from %j', (text) => {
    expect(() => choose(text)).toThrowError(expect.objectContaining({ code: 'UNKNOWN_POINT' }));
  });
});

describe('a date means the newest point not later than', () => {
  test.each([
    ['the day it names', '2026-11-23', monday],
    ['a day without a point', '2026-11-22', full],
    ['a day on which a differential was the last', '2026-11-24', offline],
    ['the minute it names, local time', '2026-11-23 09:12', monday],
    ['the minute before', '2026-11-23 09:11', full],
    ['the second it names', '2026-11-23T09:12:36', monday],
    ['the second before', '2026-11-23 09:12:35', full],
    ['the millisecond it names', '2026-11-23T08:12:36.780Z', monday],
    ['the millisecond before', '2026-11-23T08:12:36.779Z', full],
    ['a time in UTC', '2026-11-23 08:12Z', monday],
    ['a time in another zone', '2026-11-23T13:42+05:30', monday],
    ['a time in a zone west of here', '2026-11-23 03:11-0500', full],
    ['a time after all of them', '2030-01-01', wednesday],
  ])('%s', (_what, text, expected) => {
    expect(choose(text)).toBe(expected.id);
  });

  test('nothing, when all points are later: refused', () => {
    expect(() => choose('2026-11-19')).toThrowError(
      expect.objectContaining({ code: 'UNKNOWN_POINT', message: expect.stringContaining('as old as 2026-11-19') }),
    );
  });

  test('a date without a zone in a header is local time', () => {
    const established = point('virtnbdbackup.0', 'full', null, '2026-11-23T08:12:36.780686');
    expect(choose('2026-11-23 08:12', [established])).toBe(established.id);
    expect(() => choose('2026-11-23T07:11Z', [established])).toThrow('as old as');
    expect(choose('2026-11-23T07:12Z', [established])).toBe(established.id);
  });
});

describe('a date is ambiguous', () => {
  const refused = (why: string): unknown =>
    expect.objectContaining({ code: 'AMBIGUOUS_POINT', message: expect.stringContaining(why) });

  test('when two differentials have it', () => {
    const first = point('1795530001', 'diff', full.id, '2026-11-24T00:00:00Z');
    const second = point('1795530002', 'diff', full.id, '2026-11-24T00:00:00Z');
    expect(() => choose('2026-11-24', [full, first, second])).toThrowError(refused('1795530001 and 1795530002'));
  });

  test('but not when one point follows the other', () => {
    const next = point('virtnbdbackup.1', 'inc', full.id, full.date);
    expect(choose('2026-11-24', [full, next])).toBe(next.id);
  });

  test('when a point without a date may be the one', () => {
    const damaged = point('virtnbdbackup.2', 'inc', null, '');
    expect(() => choose('2026-11-24', [full, monday, damaged])).toThrowError(refused('virtnbdbackup.2'));
  });

  test('but not when a point without a date is surely older, or surely later', () => {
    const damaged = point('virtnbdbackup.1', 'inc', null, '');
    expect(choose('2026-11-25', [full, damaged, wednesday])).toBe(wednesday.id);
    expect(choose('2026-11-19', [point('copy', 'copy', null, '2026-11-18T00:00:00Z'), full, damaged])).toBe('copy');
  });

  test('when it contradicts the chain', () => {
    const clockPutBack = point('virtnbdbackup.2', 'inc', monday.id, '2026-11-22T00:00:00Z');
    expect(() => choose('2026-11-22', [full, monday, clockPutBack])).toThrowError(refused('the clock was wrong'));
  });

  test('when the clock showed it twice and a point lies in between; a zone tells which', () => {
    const night = point('virtnbdbackup.1', 'inc', full.id, '2026-10-25T01:00:00Z');
    const before = point('virtnbdbackup.0', 'full', null, '2026-10-24T12:00:00Z');
    expect(() => choose('2026-10-25 02:30', [before, night])).toThrowError(refused('twice'));
    expect(choose('2026-10-25 02:30+02:00', [before, night])).toBe(before.id);
    expect(choose('2026-10-25 02:30+01:00', [before, night])).toBe(night.id);
    expect(choose('2026-10-25 03:30', [before, night])).toBe(night.id);
  });

  test('an hour that the clock left out names no time', () => {
    expect(() => choose('2026-03-29 02:30')).toThrowError(expect.objectContaining({ code: 'UNKNOWN_POINT' }));
  });
});

test('of any chain with rising dates, a time chooses as a naive search does', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 5_000_000 }), { minLength: 1, maxLength: 20 }),
      fc.integer({ min: 0, max: 100_000_000 }),
      (gaps, seconds) => {
        const start = Date.UTC(2026, 0, 1);
        let now = start;
        const chain = gaps.map((gap, number) => {
          now += gap * 1000;
          const parent = number === 0 ? null : `virtnbdbackup.${number - 1}`;
          return point(`virtnbdbackup.${number}`, number === 0 ? 'full' : 'inc', parent, new Date(now).toISOString());
        });
        const wanted = start + seconds * 1000;
        const expected = chain.findLast(({ date }) => Date.parse(date) <= wanted)?.id;
        const text = new Date(wanted).toISOString();
        if (expected === undefined) expect(() => choose(text, chain)).toThrow('as old as');
        else expect(choose(text, chain)).toBe(expected);
      },
    ),
  );
});
