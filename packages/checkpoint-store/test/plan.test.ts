import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  acceptPlan,
  CheckpointStoreError,
  childrenFirst,
  type DomainCheckpoint,
  type PlanInput,
  planCheckpoints,
} from '../src/index.ts';

/** Checkpoints virtnbdbackup.0 … of one chain; number n is created at start + n. */
function chain(count: number, start = 1000, description?: string): DomainCheckpoint[] {
  return Array.from({ length: count }, (_, number) => ({
    name: `virtnbdbackup.${number}`,
    parent: number === 0 ? null : `virtnbdbackup.${number - 1}`,
    creationTime: start + number,
    ...(description === undefined ? {} : { description }),
  }));
}

const plan = (input: Partial<PlanInput>): ReturnType<typeof planCheckpoints> =>
  planCheckpoints({ level: 'inc', domain: [], recorded: [], ...input });

describe('the plan', () => {
  test('a copy has nothing to do with checkpoints, foreign ones included', () => {
    expect(plan({ level: 'copy', domain: [{ name: 'mine', parent: null, creationTime: 1 }] })).toEqual({
      kind: 'copy',
      create: null,
      parent: null,
      remove: [],
    });
  });

  test('a full removes every checkpoint of our kind, whoever recorded it, children first', () => {
    expect(plan({ level: 'full', domain: chain(3), recorded: [] })).toEqual({
      kind: 'full',
      create: 'virtnbdbackup.0',
      parent: null,
      remove: ['virtnbdbackup.2', 'virtnbdbackup.1', 'virtnbdbackup.0'],
    });
  });

  test('an increment follows the last recorded checkpoint', () => {
    expect(plan({ domain: chain(12), recorded: chain(12).toReversed() })).toMatchObject({
      kind: 'inc',
      create: 'virtnbdbackup.12',
      parent: { name: 'virtnbdbackup.11', creationTime: 1011 },
    });
  });

  test('a differential makes no checkpoint', () => {
    expect(plan({ level: 'diff', domain: chain(2), recorded: chain(2) })).toMatchObject({
      kind: 'diff',
      create: null,
      parent: { name: 'virtnbdbackup.1' },
    });
  });

  test.each(['full', 'inc', 'diff'] as const)('a foreign checkpoint is refused at %s', (level) => {
    const domain = [...chain(1), { name: 'before-upgrade', parent: 'virtnbdbackup.0', creationTime: 5 }];
    expect(plan({ level, domain, recorded: chain(1) })).toMatchObject({
      kind: 'refusal',
      code: 'FOREIGN',
      checkpoints: ['before-upgrade'],
    });
  });

  test('another creation time means that another chain has taken the place, and the refusal says whose', () => {
    const domain = chain(1, 2000, 'virtnbd run abc into /backup/other');
    const result = plan({ domain, recorded: chain(3) });
    expect(result).toMatchObject({ kind: 'refusal', code: 'SUPERSEDED', checkpoints: ['virtnbdbackup.0'] });
    expect(result).toHaveProperty('message', expect.stringContaining('/backup/other'));
    expect(result).toHaveProperty('message', expect.stringContaining('1970-01-01T00:33:20Z'));
  });

  test('a checkpoint that the folder did not record is somebody else going on', () => {
    expect(plan({ domain: chain(3), recorded: chain(2) })).toMatchObject({
      kind: 'refusal',
      code: 'UNRECORDED',
      checkpoints: ['virtnbdbackup.2'],
    });
  });

  test('nothing recorded is nothing to increment', () => {
    expect(plan({ domain: chain(3) })).toMatchObject({ kind: 'refusal', code: 'NOTHING_TO_INCREMENT' });
  });

  test('what libvirt has forgotten is to be redefined, parents first, when its XML is there', () => {
    const stored = chain(11)
      .filter(({ name }) => /[.](0|1|10)$/.test(name))
      .toReversed();
    expect(plan({ recorded: chain(2), stored })).toEqual({
      kind: 'redefine',
      checkpoints: ['virtnbdbackup.0', 'virtnbdbackup.1'],
    });
    expect(plan({ recorded: chain(2), domain: chain(1), stored })).toEqual({
      kind: 'redefine',
      checkpoints: ['virtnbdbackup.1'],
    });
  });

  test.each(['inc', 'diff'] as const)(
    'without its XML a forgotten checkpoint is lost, and all is saved at %s',
    (level) => {
      const result = plan({ level, recorded: chain(2), stored: chain(1) });
      expect(result).toMatchObject({ kind: level, parent: { name: 'virtnbdbackup.1' }, lost: true });
      expect(plan({ level, recorded: chain(2), domain: chain(2) })).toMatchObject({ lost: false });
    },
  );

  test('XML of another creation time tells that another folder has begun a new chain, which the VM forgot', () => {
    expect(plan({ recorded: chain(3), stored: chain(1, 2000) })).toMatchObject({ kind: 'refusal', code: 'SUPERSEDED' });
  });

  test('a checkpoint without a recorded time is not trusted', () => {
    const recorded = [{ name: 'virtnbdbackup.0', creationTime: null }];
    expect(plan({ domain: chain(1), recorded })).toMatchObject({ kind: 'refusal', code: 'IDENTITY_UNKNOWN' });
  });

  test('an uncommitted checkpoint of a VM that is off lets a differential through and no increment', () => {
    const input = { domain: chain(3), recorded: chain(2), uncommitted: ['virtnbdbackup.2'] };
    expect(plan({ ...input, level: 'diff' })).toMatchObject({ kind: 'diff', parent: { name: 'virtnbdbackup.1' } });
    expect(plan({ ...input, level: 'inc' })).toMatchObject({ kind: 'refusal', code: 'UNCOMMITTED' });
  });

  test('a refusal becomes an error with the same code', () => {
    expect(() => acceptPlan(plan({}))).toThrowError(CheckpointStoreError);
    expect(() => acceptPlan(plan({}))).toThrowError(expect.objectContaining({ code: 'NOTHING_TO_INCREMENT' }));
    expect(acceptPlan(plan({ level: 'full' }))).toMatchObject({ kind: 'full' });
  });

  test('only a checkpoint that the VM has under the recorded name and time tells what has changed', () => {
    const checkpoint = fc.record({ number: fc.nat({ max: 4 }), creationTime: fc.constantFrom(1, 2) });
    const list = fc
      .uniqueArray(checkpoint, { selector: ({ number }) => number, maxLength: 4 })
      .map((items) =>
        items.map(({ number, creationTime }) => ({ name: `virtnbdbackup.${number}`, parent: null, creationTime })),
      );
    fc.assert(
      fc.property(list, list, fc.constantFrom('inc' as const, 'diff' as const), (domain, recorded, level) => {
        const result = planCheckpoints({ level, domain, recorded });
        if (result.kind !== 'inc' && result.kind !== 'diff') return;
        if (result.lost) expect(domain.map(({ name }) => name)).not.toContain(result.parent.name);
        else expect(domain).toContainEqual({ ...result.parent, parent: null });
        expect(recorded).toContainEqual({ ...result.parent, parent: null });
        for (const { name, creationTime } of domain) {
          expect(recorded).toContainEqual({ name, parent: null, creationTime });
        }
        if (result.create !== null) expect(domain.map(({ name }) => name)).not.toContain(result.create);
      }),
    );
  });

  test('children always come before their parents, whatever the links', () => {
    const links = fc.array(fc.option(fc.nat({ max: 9 }), { nil: null }), { maxLength: 10 });
    fc.assert(
      fc.property(links, (parents) => {
        const all = parents.map((parent, number) => ({
          name: `c${number}`,
          parent: parent === null || parent >= number ? null : `c${parent}`,
          creationTime: 0,
        }));
        const order = childrenFirst(all);
        expect(order.toSorted()).toEqual(all.map(({ name }) => name).toSorted());
        for (const { name, parent } of all) {
          if (parent !== null) expect(order.indexOf(name)).toBeLessThan(order.indexOf(parent));
        }
      }),
    );
  });

  test('links in a circle do not keep it from ending', () => {
    const circle = [
      { name: 'virtnbdbackup.0', parent: 'virtnbdbackup.1', creationTime: 0 },
      { name: 'virtnbdbackup.1', parent: 'virtnbdbackup.0', creationTime: 0 },
    ];
    expect(childrenFirst(circle)).toHaveLength(2);
  });
});
