import { LibvirtError } from '@virtnbd/libvirt-ops';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { BackupEvent } from '../src/events.ts';
import { AGENT_TIMEOUT_S } from '../src/guest/agent-timeout.ts';
import { whileFrozen } from '../src/guest/frozen.ts';
import { MAX_FROZEN_MS } from '../src/guest/frozen-limits.ts';

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

/** An agent and a watchdog that keep the order of their calls; `thawFails` of its first thaws fail. */
function guest(log: string[], options: { freezeFails?: string; thawFails?: number } = {}) {
  let failing = options.thawFails ?? 0;
  const note = (word: string) => async () => void log.push(word);
  return {
    agent: {
      async freeze() {
        log.push('freeze');
        if (options.freezeFails !== undefined) throw new LibvirtError(options.freezeFails, 'the agent does not freeze');
        return 2;
      },
      thaw: () => Promise.reject(new Error('by its own connection')),
    },
    freezing: {
      async thaw() {
        log.push('thaw');
        if (failing-- > 0) throw new Error('agent is busy');
      },
      watchdog: { arm: note('arm'), disarm: note('disarm'), handOver: note('hand over') },
      tell,
    },
  };
}

test('the job begins between freeze and thaw, and the watchdog watches all the time', async () => {
  const log: string[] = [];
  const { agent, freezing } = guest(log);
  const outcome = await whileFrozen(agent, 'uuid', async () => void log.push('begin'), freezing);
  expect(outcome).toEqual({ frozen: true, answers: true });
  expect(log).toEqual(['arm', 'freeze', 'begin', 'thaw', 'disarm']);
  expect(events.at(-1)).toEqual({ type: 'thawed', frozenMs: expect.any(Number) });
});

test('the guest is thawed when the job does not begin', async () => {
  const log: string[] = [];
  const { agent, freezing } = guest(log);
  await expect(whileFrozen(agent, 'uuid', () => Promise.reject(new Error('no job')), freezing)).rejects.toThrow(
    'no job',
  );
  expect(log).toEqual(['arm', 'freeze', 'thaw', 'disarm']);
});

test('a freeze that fails half-way is thawed, and the job begins all the same, with a warning', async () => {
  const log: string[] = [];
  const { agent, freezing } = guest(log, { freezeFails: 'INTERNAL_ERROR' });
  const outcome = await whileFrozen(agent, 'uuid', async () => void log.push('begin'), freezing);
  expect(outcome).toEqual({ frozen: false, answers: true });
  expect(log).toEqual(['arm', 'freeze', 'thaw', 'disarm', 'begin']);
  expect(events).toContainEqual(expect.objectContaining({ type: 'warning' }));
});

test('an agent that was silent before the freeze is not asked to thaw', async () => {
  const log: string[] = [];
  const { agent, freezing } = guest(log, { freezeFails: 'AGENT_UNRESPONSIVE' });
  const outcome = await whileFrozen(agent, 'uuid', async () => void log.push('begin'), freezing);
  expect(outcome).toEqual({ frozen: false, answers: false });
  expect(log).toEqual(['arm', 'freeze', 'disarm', 'begin']);
});

test('where libvirt does not tell silence before the freeze from silence after it, the time tells', async () => {
  vi.useFakeTimers();
  const log: string[] = [];
  const { agent, freezing } = guest(log, { freezeFails: 'AGENT_UNRESPONSIVE' });
  const slow = {
    ...agent,
    async freeze() {
      await new Promise((resolve) => setTimeout(resolve, AGENT_TIMEOUT_S * 1000));
      return agent.freeze();
    },
  };
  const outcome = whileFrozen(slow, 'uuid', async () => void log.push('begin'), freezing);
  await vi.advanceTimersByTimeAsync(AGENT_TIMEOUT_S * 1000);
  await outcome;
  expect(log).toEqual(['arm', 'freeze', 'thaw', 'disarm', 'begin']);
});

test('a freeze without an answer may still happen: where no thaw gets through, the watchdog goes on', async () => {
  const log: string[] = [];
  const { agent, freezing } = guest(log, { freezeFails: 'AGENT_COMMAND_TIMEOUT', thawFails: 9 });
  await whileFrozen(agent, 'uuid', async () => void log.push('begin'), freezing);
  expect(log).toEqual(['arm', 'freeze', 'thaw', 'hand over', 'begin']);
  expect(events).toContainEqual({ type: 'warning', message: expect.stringContaining('virsh domfsthaw') });
});

test('a thaw that fails is tried again', async () => {
  const log: string[] = [];
  const { agent, freezing } = guest(log, { thawFails: 2 });
  await whileFrozen(agent, 'uuid', async () => undefined, freezing);
  expect(log).toEqual(['arm', 'freeze', 'thaw', 'thaw', 'thaw', 'disarm']);
});

test('a guest that cannot be thawed is an error, and the watchdog goes on', async () => {
  const log: string[] = [];
  const { agent, freezing } = guest(log, { thawFails: 9 });
  await expect(whileFrozen(agent, 'uuid', async () => undefined, freezing)).rejects.toThrow('agent is busy');
  expect(log.at(-1)).toBe('hand over');
});

test('a job that does not begin in time leaves the guest frozen no longer than the maximum', async () => {
  vi.useFakeTimers();
  const log: string[] = [];
  const { agent, freezing } = guest(log);
  const begun = Promise.withResolvers<void>();
  const frozen = whileFrozen(agent, 'uuid', () => begun.promise, freezing);
  await vi.advanceTimersByTimeAsync(MAX_FROZEN_MS + 1);
  expect(log).toEqual(['arm', 'freeze', 'thaw', 'disarm']);
  begun.resolve();
  expect(await frozen).toMatchObject({ frozen: false });
});
