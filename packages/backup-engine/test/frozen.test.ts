import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { BackupEvent } from '../src/events.ts';
import { MAX_FROZEN_MS, whileFrozen } from '../src/frozen.ts';

let events: BackupEvent[] = [];
const tell = (event: BackupEvent): void => {
  events.push(event);
};

beforeEach(() => {
  events = [];
});
afterEach(() => {
  vi.useRealTimers();
});

/** An agent that keeps the order of its calls; `thawFails` of its first thaws fail. */
function agent(log: string[], options: { freezeFails?: boolean; thawFails?: number } = {}) {
  let failing = options.thawFails ?? 0;
  return {
    async freeze() {
      log.push('freeze');
      if (options.freezeFails) throw new Error('agent is not connected');
      return 2;
    },
    async setAgentTimeout() {},
    async thaw() {
      log.push('thaw');
      if (failing-- > 0) throw new Error('agent is busy');
      return 2;
    },
  };
}

test('the job begins between freeze and thaw', async () => {
  const log: string[] = [];
  const one = agent(log);
  const frozen = await whileFrozen(one, one, 'uuid', async () => void log.push('begin'), { tell });
  expect(frozen).toBe(true);
  expect(log).toEqual(['freeze', 'begin', 'thaw']);
});

test('the guest is thawed when the job does not begin', async () => {
  const log: string[] = [];
  const one = agent(log);
  const beginning = whileFrozen(one, one, 'uuid', () => Promise.reject(new Error('no job')), { tell });
  await expect(beginning).rejects.toThrow('no job');
  expect(log).toEqual(['freeze', 'thaw']);
});

test('without an agent the job begins all the same, with a warning, and thaws what a failed freeze may have frozen', async () => {
  const log: string[] = [];
  const one = agent(log, { freezeFails: true });
  const frozen = await whileFrozen(one, one, 'uuid', async () => void log.push('begin'), { tell });
  expect(frozen).toBe(false);
  expect(log).toEqual(['freeze', 'thaw', 'begin']);
  expect(events).toContainEqual(expect.objectContaining({ type: 'warning' }));
});

test('a thaw that fails is tried again', async () => {
  const log: string[] = [];
  const one = agent(log, { thawFails: 2 });
  await whileFrozen(one, one, 'uuid', async () => undefined, { tell });
  expect(log).toEqual(['freeze', 'thaw', 'thaw', 'thaw']);
});

test('a guest that cannot be thawed is an error', async () => {
  const one = agent([], { thawFails: 9 });
  await expect(whileFrozen(one, one, 'uuid', async () => undefined, { tell })).rejects.toThrow('agent is busy');
});

test('a job that does not begin in time leaves the guest frozen no longer than the maximum', async () => {
  vi.useFakeTimers();
  const log: string[] = [];
  const one = agent(log);
  const begun = Promise.withResolvers<void>();
  const frozen = whileFrozen(one, one, 'uuid', () => begun.promise, { tell });
  await vi.advanceTimersByTimeAsync(MAX_FROZEN_MS + 1);
  expect(log).toEqual(['freeze', 'thaw']);
  begun.resolve();
  expect(await frozen).toBe(false);
});
