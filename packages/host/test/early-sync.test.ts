import { join } from 'node:path';
import { expect, test } from 'vitest';
import { EarlySync, HostError, LocalHost } from '../src/index.ts';
import { tempFolder } from './temp.ts';

const { files } = new LocalHost();

test('a file that cannot be closed does not hide why the work failed', async () => {
  const file = await files.open(join(await tempFolder(), 'f'), 'create');
  const lost = new HostError('LINK_LOST', 'the link was lost');
  const failing = Object.assign(Object.create(file), { close: () => Promise.reject(lost) });
  const work = async (): Promise<void> => {
    await using _sync = new EarlySync([failing]);
    throw new Error('the reason');
  };
  await expect(work()).rejects.toThrow('the reason');
  await file.close();
});
