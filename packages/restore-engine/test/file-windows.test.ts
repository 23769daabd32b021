import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { host, MIB } from '@virtnbd/sample-sets';
import { tempFolder } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import type { DiskContent } from '../src/source/content.ts';
import { FileWindows } from '../src/target/file-windows.ts';

test('windows of which one has failed are gone only when no other one is under way', async () => {
  await using folder = await tempFolder();
  await using file = await host.files.open(join(folder.path, 'file'), 'create');
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  const content: DiskContent = {
    size: 8 * MIB,
    dataBytes: 8 * MIB,
    sparseUnknown: false,
    extents: () => [],
    read: async (offset) => {
      if (offset === 0) throw new Error('the first one fails');
      await held;
    },
  };
  const windows = new FileWindows(content, file);
  for (let at = 0; at < content.size; at += MIB) await windows.read(at, at, MIB);
  await expect(windows.finish()).rejects.toThrow('the first one fails');
  let gone = false;
  const ended = windows[Symbol.asyncDispose]().then(() => {
    gone = true;
  });
  for (let turn = 0; turn < 10; turn++) await nextTurn();
  expect(gone).toBe(false);
  release();
  await ended;
  expect(gone).toBe(true);
});
