import { lstat, mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TempFolder, tempFolder } from '@virtnbd/test-kit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LocalTree } from '../src/index.ts';

let folder: TempFolder;
let target: string;
let tree: LocalTree;

beforeEach(async () => {
  folder = await tempFolder();
  target = join(folder.path, 'target');
  await mkdir(target);
  tree = await LocalTree.open(target);
});

afterEach(async () => {
  await tree[Symbol.asyncDispose]();
  await folder.remove();
});

async function put(path: string, text: string, replace = false): Promise<void> {
  const staged = await tree.stage();
  await writeFile(staged, text);
  await tree.place(staged, path, { replace });
}

test('files, folders and links get their places and attributes, and nothing staged is left', async () => {
  await tree.makeFolder('etc');
  await put('etc/passwd', 'root');
  await tree.makeLink('etc/link', '/somewhere/else', { replace: false });
  await tree.setAttributes('etc/passwd', { mode: 0o104_755, modified: 1_000_000_000 });
  await tree.setAttributes('etc', { mode: 0o750 });
  await tree[Symbol.asyncDispose]();
  expect(await readdir(target, { recursive: true })).toEqual(['etc', 'etc/link', 'etc/passwd']);
  expect(await readlink(join(target, 'etc/link'))).toBe('/somewhere/else');
  const stats = await lstat(join(target, 'etc/passwd'));
  // setuid is not taken over.
  expect([stats.mode & 0o7777, stats.mtimeMs]).toEqual([0o755, 1_000_000_000_000]);
});

test.each(['/etc/x', '../x', 'a/../../x', 'a//x', '', '.', 'a\0b'])('the path %j is refused', async (path) => {
  await expect(put(path, 'no')).rejects.toMatchObject({ code: 'BAD_NAME' });
});

test('a link inside is not followed out, whoever made it', async () => {
  const outside = join(folder.path, 'outside');
  await mkdir(outside);
  await symlink(outside, join(target, 'theirs'));
  await tree.makeLink('ours', outside, { replace: false });
  for (const name of ['theirs', 'ours']) {
    await expect(put(`${name}/file`, 'no', true)).rejects.toMatchObject({ code: 'EXISTS' });
    await expect(tree.makeFolder(`${name}/folder`)).rejects.toMatchObject({ code: 'EXISTS' });
    await expect(tree.makeFolder(name)).rejects.toMatchObject({ code: 'EXISTS' });
  }
  expect(await readdir(outside)).toEqual([]);
});

test('a file that is there stays, unless it may be replaced; a folder always stays', async () => {
  await writeFile(join(target, 'file'), 'old');
  await mkdir(join(target, 'folder'));
  await expect(put('file', 'new')).rejects.toMatchObject({ code: 'EXISTS' });
  expect(await readFile(join(target, 'file'), 'utf8')).toBe('old');
  await put('file', 'new', true);
  expect(await readFile(join(target, 'file'), 'utf8')).toBe('new');
  await expect(put('folder', 'new', true)).rejects.toMatchObject({ code: 'EXISTS' });
});

test('replacing a link replaces the link, not what it leads to', async () => {
  const outside = join(folder.path, 'outside');
  await writeFile(outside, 'theirs');
  await symlink(outside, join(target, 'link'));
  await put('link', 'ours', true);
  expect(await readFile(outside, 'utf8')).toBe('theirs');
  expect((await lstat(join(target, 'link'))).isFile()).toBe(true);
});

test('a folder that is not there is told', async () => {
  await expect(LocalTree.open(join(folder.path, 'absent'))).rejects.toMatchObject({ code: 'NOT_FOUND' });
});
