import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Budget } from '../src/budget.ts';

test('never more than the total and a piece for each connection, and everybody gets a turn', () => {
  const requests = fc.array(fc.tuple(fc.nat(4), fc.integer({ min: 1, max: 10 })), { maxLength: 80 });
  return fc.assert(
    fc.asyncProperty(requests, fc.infiniteStream(fc.nat()), async (list, choices) => {
      const budget = new Budget(30, 15);
      const connections = Array.from({ length: 5 }, () => budget.connection());
      const held: { connection: number; bytes: number }[] = [];
      let granted = 0;
      for (const [connection, bytes] of list) {
        const got = () => {
          granted++;
          held.push({ connection, bytes });
          expect(budget.used).toBeLessThanOrEqual(30 + 5 * 10);
        };
        const wait = connections[connection]?.acquire(bytes);
        if (wait === undefined) got();
        else void wait.then(got);
      }
      while (held.length > 0) {
        const [one] = held.splice((choices.next().value ?? 0) % held.length, 1);
        if (one !== undefined) connections[one.connection]?.release(one.bytes);
        await Promise.resolve();
      }
      expect(granted).toBe(list.length);
      expect(budget.used).toBe(0);
    }),
  );
});

test('who gives up waits no longer, and others go on', async () => {
  const budget = new Budget(10, 10);
  const [one, two] = [budget.connection(), budget.connection()];
  expect(one.acquire(10)).toBe(undefined);
  const waiting = one.acquire(5);
  one.giveUp(new Error('gone'));
  await expect(waiting).rejects.toThrow('gone');
  expect(two.acquire(10)).toBe(undefined);
});
