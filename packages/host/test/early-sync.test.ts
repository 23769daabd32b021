import { join } from 'node:path';
import { expect, test } from 'vitest';
import { EarlySync, HostError, LocalHost } from '../src/index.ts';
import { tempFolder } from './temp.ts';

const host = new LocalHost();

test('a file that cannot be closed does not hide why the work failed', async () => {
  const file = await host.files.open(join(await tempFolder(), 'f'), 'create');
  const lost = new HostError('LINK_LOST', 'the link was lost');
  const failing = Object.assign(Object.create(file), { close: () => Promise.reject(lost) });
  const files = Object.assign(Object.create(host.files), { open: () => Promise.resolve(failing) });
  const work = async (): Promise<void> => {
    await using _sync = await EarlySync.open(Object.assign(Object.create(host), { files }), [file.path]);
    throw new Error('the reason');
  };
  await expect(work()).rejects.toThrow('the reason');
  await file.close();
});

test('files of the caller stay open, and what failed to reach the disk early is told at the end', async () => {
  await using file = await host.files.open(join(await tempFolder(), 'f'), 'create');
  const full = new HostError('NO_SPACE', 'the disk is full');
  let syncs = 0;
  const failing = Object.assign(Object.create(file), {
    sync: () => (syncs++ === 0 ? Promise.reject(full) : undefined),
  });
  {
    await using sync = new EarlySync([failing]);
    sync.written(1 << 30);
    await expect(sync.finish()).rejects.toBe(full);
  }
  await file.write([Uint8Array.of(1)]);
});
