import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LocalHost } from '@virtnbd/host';
import { tempFolder } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import { type PointVerdict, readVerdict, writeVerdict } from '../src/index.ts';

const host = new LocalHost();
const verdict: PointVerdict = {
  point: 'virtnbdbackup.3',
  boot: {
    at: '2026-11-26T11:00:00.000Z',
    passed: true,
    sign: 'agent',
    seconds: 7,
    message: 'The guest agent answered.',
    writer: { name: 'virtnbd', version: '1.0.0' },
  },
};

test('a verdict is read back as it was recorded, and the last one counts', async () => {
  await using folder = await tempFolder();
  expect(await readVerdict(host, folder.path, verdict.point)).toBeNull();
  await writeVerdict(host, folder.path, { ...verdict, boot: { ...verdict.boot, passed: false } });
  await writeVerdict(host, folder.path, verdict);
  expect(await readVerdict(host, folder.path, verdict.point)).toEqual(verdict);
});

test.each([
  ['no JSON', '{'],
  ['another version', JSON.stringify({ format: 'virtnbd-verdict', version: 2, ...verdict })],
  ['of another point', JSON.stringify({ format: 'virtnbd-verdict', version: 1, ...verdict, point: 'copy' })],
  ['too large', ' '.repeat(70_000)],
])('a verdict that is %s is refused, with the name of its file', async (_, text) => {
  await using folder = await tempFolder();
  await writeFile(join(folder.path, 'virtnbdbackup.3.verdict.json'), text);
  await expect(readVerdict(host, folder.path, verdict.point)).rejects.toMatchObject({
    code: 'BAD_VERDICT',
    file: 'virtnbdbackup.3.verdict.json',
  });
});
