import { execFile } from 'node:child_process';
import { link, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { tempFolder } from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import { readTar } from '../src/domain/tar-reader.ts';

const LONG = 'f'.repeat(90); // with a file in it longer than the field of the name

/** What the system's tar makes of a folder. */
async function archive(make: (folder: string) => Promise<unknown>, ...options: string[]): Promise<Buffer> {
  await using temp = await tempFolder();
  await mkdir(join(temp.path, 'tpm2'), { mode: 0o700 });
  await make(temp.path);
  const args = ['-C', temp.path, '--format=ustar', ...options, '-cf', '-', 'tpm2'];
  const { stdout } = await promisify(execFile)('tar', args, { encoding: 'buffer' });
  return stdout;
}

const good = (): Promise<Buffer> =>
  archive(async (folder) => {
    await writeFile(join(folder, 'tpm2', 'state'), Buffer.alloc(6013, 7), { mode: 0o640 });
    await mkdir(join(folder, 'tpm2', LONG));
    await writeFile(join(folder, 'tpm2', LONG, 'an empty one'), '');
  }, '--sort=name');

const damaged = expect.objectContaining({ code: 'DAMAGED' });

test('files and folders come out as they were put in', async () => {
  const entries = readTar(await good(), 'x.tar');
  expect(entries.map(({ kind, path, mode, content }) => [kind, path, mode.toString(8), content.length])).toEqual([
    ['folder', 'tpm2', '700', 0],
    ['folder', `tpm2/${LONG}`, expect.any(String), 0],
    ['file', `tpm2/${LONG}/an empty one`, expect.any(String), 0],
    ['file', 'tpm2/state', '640', 6013],
  ]);
  expect(entries[0]).toMatchObject({ uid: process.getuid?.(), gid: process.getgid?.() });
});

test.each([
  ['a symbolic link', (folder: string) => symlink('/etc/shadow', join(folder, 'tpm2', 'state'))],
  [
    'a hard link',
    async (folder: string) => {
      await writeFile(join(folder, 'tpm2', 'a'), 'a');
      await link(join(folder, 'tpm2', 'a'), join(folder, 'tpm2', 'b'));
    },
  ],
])('%s is refused', async (_, make) => {
  const bytes = await archive(make);
  expect(() => readTar(bytes, 'x.tar')).toThrow(damaged);
});

test.each(['/tpm2', '../tpm2', 'a/../../tpm2', './tpm2', 'a//tpm2'])('a path is refused: %s', async (path) => {
  const bytes = await archive(async () => undefined, '-P', `--transform=s,^tpm2,${path},`);
  expect(() => readTar(bytes, 'x.tar')).toThrow(expect.objectContaining({ code: 'BAD_NAME' }));
});

test('an archive that is cut anywhere before its end, or changed in a header, is refused', async () => {
  const bytes = await good();
  const end = bytes.length - bytes.toReversed().findIndex((byte) => byte !== 0);
  for (let length = 0; length < end; length += 97)
    expect(() => readTar(bytes.subarray(0, length), 'x')).toThrow(damaged);
  for (const at of [0, 100, 124, 130, 148, 156, 257]) {
    const changed = Buffer.from(bytes);
    changed[at] = (changed[at] ?? 0) ^ 1;
    expect(() => readTar(changed, 'x')).toThrow(damaged);
  }
});
