import { NBD_CMD_BLOCK_STATUS, NBD_CMD_READ, NbdCodecError } from '@virtnbd/nbd-protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NbdClient, NbdError } from '../src/index.ts';
import { Operation, type WireRequest } from '../src/operation.ts';
import { BufferTarget } from '../src/read-target.ts';
import { ReplyReceiver } from '../src/reply-receiver.ts';
import { repliesTo } from './replies.ts';
import { ScriptedServer } from './scripted-server.ts';

const BASE = 4096;
const LENGTH = 64;
const DATA = Uint8Array.from({ length: LENGTH }, (_, i) => i + 1);
const GUARD = 32;
/** What the buffers hold before. */
const BEFORE = 0xee;

/** Where a good reply is changed: a byte replaced, cut out, or put in. */
const changes = fc.array(
  fc.record({
    at: fc.nat(400),
    kind: fc.constantFrom('replace', 'cut', 'insert'),
    byte: fc.integer({ min: 0, max: 255 }),
  }),
  { minLength: 0, maxLength: 4 },
);

type Change = { at: number; kind: string; byte: number };

function changed(bytes: Uint8Array, list: readonly Change[]): Buffer {
  const out = [...bytes];
  for (const { at, kind, byte } of list) {
    const place = at % (out.length + 1);
    out.splice(place, kind === 'insert' ? 0 : 1, ...(kind === 'cut' ? [] : [byte]));
  }
  return Buffer.from(out);
}

/** Feeds a receiver that waits for one read; tells how it ended, and what is in memory. */
function feed(headers: 'structured' | 'extended', command: number, bytes: Uint8Array, split: number) {
  const memory = new Uint8Array(GUARD + LENGTH + GUARD).fill(BEFORE);
  const target = new BufferTarget(memory.subarray(GUARD, GUARD + LENGTH));
  const request = new Operation({ command, offset: BASE, length: LENGTH, piece: 1 << 20, target }).next(7);
  let finished: WireRequest | undefined;
  const receiver = new ReplyReceiver({
    headers,
    contexts: new Map([[1, 'base:allocation']]),
    find: (cookie) => (cookie === 7n && finished === undefined ? request : undefined),
    finish: (done) => {
      finished = done;
    },
  });
  try {
    for (let at = 0; at < bytes.byteLength; at += split) receiver.push(bytes.subarray(at, at + split));
  } catch (error) {
    if (error instanceof NbdError && error.code === 'PROTOCOL') return { memory, outcome: 'refused' };
    if (error instanceof NbdCodecError) return { memory, outcome: 'refused' };
    throw error;
  }
  if (finished === undefined) return { memory, outcome: 'waiting' };
  return { memory, outcome: finished.error === undefined ? 'done' : 'failed' };
}

describe('a reply that was changed anywhere', () => {
  test.each(['structured', 'extended'] as const)(
    'never writes outside the buffer, nor leaves a hole in it: %s',
    (headers) => {
      const reply = repliesTo({ cookie: 7n, offset: BASE }, { extended: headers === 'extended' });
      const good = Buffer.concat([
        reply.data(BASE + 40, DATA.subarray(40)),
        reply.hole(BASE + 8, 24),
        reply.data(BASE, DATA.subarray(0, 8)),
        reply.data(BASE + 32, DATA.subarray(32, 40), true),
      ]);
      fc.assert(
        fc.property(changes, fc.integer({ min: 1, max: 64 }), (list, split) => {
          const { memory, outcome } = feed(headers, NBD_CMD_READ, changed(good, list), split);
          expect(memory.subarray(0, GUARD).every((byte) => byte === BEFORE)).toBe(true);
          expect(memory.subarray(GUARD + LENGTH).every((byte) => byte === BEFORE)).toBe(true);
          if (list.length === 0) expect(outcome).toBe('done');
          // 0xee is in none of the data: where it is left, the read has not succeeded (unless a change put it there).
          const holes = memory.subarray(GUARD, GUARD + LENGTH).includes(BEFORE);
          if (outcome === 'done' && !list.some(({ byte }) => byte === BEFORE)) expect(holes).toBe(false);
        }),
        { numRuns: 3000 },
      );
    },
  );

  test.each(['structured', 'extended'] as const)(
    'of block status is understood or refused, nothing else: %s',
    (headers) => {
      const reply = repliesTo({ cookie: 7n, offset: BASE }, { extended: headers === 'extended' });
      const good = reply.status(1, [512, 3, 4096, 0, 65_536, 1], true);
      fc.assert(
        fc.property(changes, fc.integer({ min: 1, max: 64 }), (list, split) => {
          const { outcome } = feed(headers, NBD_CMD_BLOCK_STATUS, changed(good, list), split);
          expect(['refused', 'waiting', 'done', 'failed']).toContain(outcome);
        }),
        { numRuns: 3000 },
      );
    },
  );
});

test('any bytes for a handshake end in an error or a connection, never in a hang or another exception', {
  timeout: 120_000,
}, async () => {
  const noise = fc.record({ option: fc.constantFrom(7, 8, 10, 11), changes });
  await fc.assert(
    fc.asyncProperty(noise, fc.boolean(), async ({ option, changes: list }, trickle) => {
      let spoilt = false;
      await using server = await ScriptedServer.start({
        trickle,
        contexts: ['base:allocation'],
        onAnswer: (asked, answer) => {
          if (asked !== option || spoilt) return answer;
          spoilt = true;
          return changed(answer, list);
        },
        hangUpAfterMs: 100,
      });
      const connecting = NbdClient.connect(
        { path: server.path },
        { metaContexts: ['base:allocation'], timeoutMs: 1000 },
      );
      const outcome = await connecting.then(
        (client) => client.destroy(),
        (error: unknown) => error,
      );
      if (outcome !== undefined) expect(outcome).toBeInstanceOf(NbdError);
    }),
    { numRuns: 60 },
  );
});
