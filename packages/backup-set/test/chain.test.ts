import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BackupSetError, type PointDisk, type RestorePoint } from '../src/index.ts';
import { chainOf, isLeaf, latestPoint, linkFaults, orderPoints } from '../src/points/chain.ts';

/** Of each point: which disks it saves, and which of them whole; whether it is a differential. */
interface Step {
  diff: boolean;
  disks: Readonly<Record<string, 'whole' | 'changes' | 'absent'>>;
}

const DISKS = ['vda', 'vdaa', 'vdb'];

const step: fc.Arbitrary<Step> = fc.record({
  diff: fc.boolean(),
  disks: fc.record(
    Object.fromEntries(
      DISKS.map((disk) => [
        disk,
        fc.constantFrom('whole' as const, 'changes' as const, 'changes' as const, 'absent' as const),
      ]),
    ),
  ),
});

/** The points that a history of runs makes: a full of all disks, then increments and differentials. */
function history(steps: readonly Step[]): RestorePoint[] {
  const points = [toPoint('virtnbdbackup.0', 'full', null, Object.fromEntries(DISKS.map((disk) => [disk, 'whole'])))];
  let tip = 0;
  for (const [index, { diff, disks }] of steps.entries()) {
    const parent = `virtnbdbackup.${tip}`;
    const id = diff ? String(1_700_000_000 + index) : `virtnbdbackup.${++tip}`;
    points.push(toPoint(id, diff ? 'diff' : 'inc', parent, disks));
  }
  return points;
}

function toPoint(id: string, level: RestorePoint['level'], parent: string | null, disks: Step['disks']): RestorePoint {
  const present: PointDisk[] = Object.entries(disks)
    .filter(([, how]) => how !== 'absent')
    .map(([disk, how]) => ({
      disk,
      file: `${disk}.${id}.data`,
      kind: 'stream',
      incremental: how === 'changes',
      virtualSize: 1,
      parent: how === 'changes' ? parent : null,
      fileSize: 1,
    }));
  return { id, level, checkpoint: id, parent, date: '', manifest: null, disks: present, faults: [] };
}

/** What is needed for a disk at a point, told the naive way; null when it cannot be brought back. */
function modelChain(points: readonly RestorePoint[], id: string, disk: string): string[] | null {
  const point = points.find((known) => known.id === id);
  const found = point?.disks.find((known) => known.disk === disk);
  if (point === undefined || found === undefined) return null;
  if (!found.incremental) return [id];
  const before = point.parent === null ? null : modelChain(points, point.parent, disk);
  return before === null ? null : [...before, id];
}

const attempt = (work: () => RestorePoint[]): string[] | string => {
  try {
    return work().map(({ id }) => id);
  } catch (error) {
    return error instanceof BackupSetError ? error.code : String(error);
  }
};

describe('chains', () => {
  test('of every disk at every point they are what the model says, in whatever order the points come', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 8 }), fc.nat(), (steps, seed) => {
        const points = history(steps);
        const shuffled = points.toSorted((a, b) => ((hash(a.id) ^ seed) % 97) - ((hash(b.id) ^ seed) % 97));
        for (const target of shuffled) {
          for (const { disk } of target.disks) {
            const expected = modelChain(points, target.id, disk) ?? 'GAP';
            expect(attempt(() => chainOf(shuffled, target, { disk }))).toEqual(expected);
          }
          const each = target.disks.map(({ disk }) => modelChain(points, target.id, disk));
          const longest = each.reduce((a, b) => ((b?.length ?? 0) > (a?.length ?? 0) ? b : a), [target.id]);
          expect(attempt(() => chainOf(shuffled, target))).toEqual(each.includes(null) ? 'GAP' : longest);
        }
      }),
    );
  });

  test('without one of its points a chain is refused, and others are as before', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 8 }), fc.nat(), (steps, choice) => {
        const points = history(steps);
        const lost = points[choice % points.length];
        const rest = points.filter((point) => point !== lost);
        for (const target of rest) {
          for (const { disk } of target.disks) {
            const before = modelChain(points, target.id, disk);
            const expected = before === null || before.includes(lost?.id ?? '') ? 'GAP' : before;
            expect(attempt(() => chainOf(rest, target, { disk }))).toEqual(expected);
          }
        }
      }),
    );
  });

  test('parents come before children, and latest has no child', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 8 }), (steps) => {
        const points = history(steps);
        const order = orderPoints(points.toReversed()).map(({ id }) => id);
        expect(order.toSorted()).toEqual(points.map(({ id }) => id).toSorted());
        for (const { id, parent } of points) {
          if (parent !== null) expect(order.indexOf(parent)).toBeLessThan(order.indexOf(id));
        }
        const latest = latestPoint(points);
        expect(points.some(({ parent }) => parent === latest.id)).toBe(false);
        const tip = points.filter((point) => !isLeaf(point)).at(-1);
        expect([latest.id, latest.parent]).toContain(tip?.id);
      }),
    );
  });

  test('a history without losses has no faulty links', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 8 }), (steps) => {
        const points = history(steps);
        expect(
          linkFaults(
            points,
            points.map(({ id }) => ({ name: id, creationTime: 1, run: null })),
          ),
        ).toEqual([]);
      }),
    );
  });
});

function hash(text: string): number {
  let value = 7;
  for (const character of text) value = (value * 31 + character.charCodeAt(0)) % 1_000_003;
  return value;
}
