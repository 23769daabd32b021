import { NbdClient } from '@virtnbd/nbd-client';
import { waitFor } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import { OverlaySource } from '../src/index.ts';
import { MemorySource, pattern, WritableSource } from './memory-source.ts';
import { MemoryOverlay } from './overlay-files.ts';
import { serve } from './serving.ts';

const SIZE = 3 << 20;

/** What a client does; each step must succeed, or fail with an errno, and leave the connection in order. */
async function session(path: string): Promise<string[]> {
  await using client = await NbdClient.connect({ path }, { metaContexts: ['base:allocation'] });
  const whole = Buffer.alloc(SIZE);
  const steps: (() => Promise<unknown>)[] = [
    () => client.read(0, whole),
    () => client.write(4096, Buffer.alloc(2 << 20, 1)),
    () => client.write(100, Buffer.alloc(50, 2), { fua: true }),
    () => client.writeZeroes(8000, 10_000),
    () => client.trim(0, 8192),
    () => client.flush(),
    async () => {
      for await (const _ of client.extents());
    },
    () => client.read(5, whole.subarray(0, 9000)),
  ];
  const outcomes: string[] = [];
  for (const step of steps) {
    outcomes.push(
      await step().then(
        () => 'done',
        (error: { code: string; errno: string }) => `${error.code} ${error.errno}`,
      ),
    );
  }
  return outcomes;
}

test('a source that fails its n-th call, for every n, fails that request with EIO, and the client stays', async () => {
  for (let n = 0; ; n++) {
    const source = new WritableSource(pattern(SIZE));
    source.before = (_, call) => {
      if (call === n) throw new Error(`call ${n} fails`);
    };
    await using serving = await serve(source);
    const outcomes = await session(serving.path);
    const failed = outcomes.filter((outcome) => outcome !== 'done');
    if (source.calls <= n) {
      expect(failed).toEqual([]);
      expect(n).toBeGreaterThan(8);
      break;
    }
    expect(failed, `call ${n}`).toEqual(['REQUEST EIO']);
    expect(serving.events.filter(({ type }) => type === 'source-error')).toMatchObject([
      { error: { message: `call ${n} fails` } },
    ]);
  }
});

test("an overlay's file that fails its n-th call, for every n, fails a request with its reason, and the client stays", async () => {
  for (let n = 0; ; n++) {
    const file = new MemoryOverlay();
    const overlay = await OverlaySource.create(new MemorySource(pattern(SIZE)), file);
    const first = file.calls;
    file.before = (call) => {
      if (call === first + n) throw Object.assign(new Error('full'), { errno: 'ENOSPC' });
    };
    await using serving = await serve(overlay);
    const outcomes = await session(serving.path);
    if (file.calls <= first + n) {
      expect(outcomes).toEqual(Array(8).fill('done'));
      break;
    }
    expect(outcomes.some((outcome) => outcome !== 'done')).toBe(true);
    for (const outcome of outcomes) expect(outcome).toMatch(/^(done|REQUEST ENOSPC|REQUEST EIO)$/);
  }
});

test('a source that never answers holds up neither other clients nor the end of the server', async () => {
  const source = new MemorySource(pattern(SIZE));
  source.before = (_, call) => (call === 0 ? new Promise<void>(() => {}) : undefined);
  await using serving = await serve(source);
  const client = await NbdClient.connect({ path: serving.path });
  const stuck = client.read(0, Buffer.alloc(512)).catch((error: { code: string }) => error.code);
  await waitFor(() => source.calls > 0);
  await using other = await NbdClient.connect({ path: serving.path });
  await other.read(0, Buffer.alloc(512));
  await serving.server.close({ graceMs: 50 });
  expect(await stuck).toBe('CLOSED');
});
