import { execFileSync } from 'node:child_process';
import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { oddNames, tempFolder } from '../temp.ts';
import { describeHosts } from './describe-hosts.ts';

describeHosts('files', (host) => {
  const files = () => host().files;

  describe('readSmall', () => {
    test('gives the whole file, through a link too', async () => {
      const folder = await tempFolder();
      await writeFile(join(folder, 'f'), 'content');
      await symlink('f', join(folder, 'link'));
      expect(Buffer.from(await files().readSmall(join(folder, 'link'), 7)).toString()).toBe('content');
    });

    test('refuses a larger file', async () => {
      const path = join(await tempFolder(), 'f');
      await writeFile(path, 'content');
      await expect(files().readSmall(path, 6)).rejects.toMatchObject({ code: 'TOO_LARGE', path });
    });

    test('refuses FIFOs, folders and devices without hanging', async () => {
      const folder = await tempFolder();
      execFileSync('mkfifo', [join(folder, 'fifo')]);
      await symlink('/dev/zero', join(folder, 'zero'));
      for (const name of ['fifo', 'zero', '.']) {
        await expect(files().readSmall(join(folder, name), 100)).rejects.toMatchObject({ code: 'WRONG_KIND' });
      }
    });

    test('says NOT_FOUND for an absent file', async () => {
      await expect(files().readSmall('/nonexistent/f', 1)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    });
  });

  describe('list', () => {
    test('gives names and kinds, sorted, odd names unchanged', async () => {
      const folder = await tempFolder();
      for (const name of oddNames) await writeFile(join(folder, name), '');
      await mkdir(join(folder, 'sub'));
      await symlink('nowhere', join(folder, 'link'));
      execFileSync('mkfifo', [join(folder, 'fifo')]);
      const entries = await files().list(folder);
      expect(entries.map((entry) => entry.name)).toEqual([...oddNames, 'sub', 'link', 'fifo'].sort());
      const kinds = new Map(entries.map((entry) => [entry.name, entry.kind]));
      expect(['sub', 'link', 'fifo', '-o'].map((name) => kinds.get(name))).toEqual(['folder', 'link', 'other', 'file']);
    });

    test('says what is wrong with a path that is no folder', async () => {
      const path = join(await tempFolder(), 'f');
      await writeFile(path, '');
      await expect(files().list(path)).rejects.toMatchObject({ code: 'WRONG_KIND' });
      await expect(files().list(`${path}x`)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    });
  });

  describe('stat', () => {
    test('tells kind, size, mode and time of what a link leads to', async () => {
      const folder = await tempFolder();
      await writeFile(join(folder, 'f'), '12345', { mode: 0o640 });
      await symlink('f', join(folder, 'link'));
      const found = await files().stat(join(folder, 'link'));
      expect(found).toMatchObject({ kind: 'file', size: 5, mode: 0o640 });
      expect(found?.modified).toBeGreaterThan(1.6e12);
      expect(await files().stat(folder)).toMatchObject({ kind: 'folder', mode: 0o700 });
    });

    test('is null for nothing, for a dangling link and below a file', async () => {
      const folder = await tempFolder();
      await symlink('nowhere', join(folder, 'link'));
      await writeFile(join(folder, 'f'), '');
      for (const name of ['absent', 'link', 'f/below']) expect(await files().stat(join(folder, name))).toBeNull();
    });
  });

  describe('folders', () => {
    test('are made with mode 0700, parents too', async () => {
      const folder = await tempFolder();
      await files().makeFolder(join(folder, 'a/b/c'), { recursive: true });
      for (const name of ['a', 'a/b', 'a/b/c']) expect((await stat(join(folder, name))).mode & 0o777).toBe(0o700);
      await files().makeFolder(join(folder, 'a/b'), { recursive: true });
      await files().makeFolder(join(folder, 'open'), { mode: 0o750 });
      expect((await stat(join(folder, 'open'))).mode & 0o777).toBe(0o750);
    });

    test('are refused where something is already', async () => {
      const folder = await tempFolder();
      await writeFile(join(folder, 'f'), '');
      await expect(files().makeFolder(folder)).rejects.toMatchObject({ code: 'EXISTS' });
      await expect(files().makeFolder(join(folder, 'f'), { recursive: true })).rejects.toMatchObject({
        code: 'EXISTS',
      });
      await expect(files().makeFolder(join(folder, 'a/b'))).rejects.toMatchObject({ code: 'NOT_FOUND' });
      await expect(files().makeFolder(join(folder, 'f/g'), { recursive: true })).rejects.toThrow(
        /cannot make the folder/,
      );
      await expect(files().makeFolder('/proc/a/b', { recursive: true })).rejects.toThrow(/cannot make the folder/);
    });

    test('for temporary use are new and private', async () => {
      const folder = await tempFolder();
      const [a, b] = await Promise.all([
        files().makeTempFolder(folder, 'job [1] '),
        files().makeTempFolder(folder, 'job [1] '),
      ]);
      expect(a).not.toBe(b);
      expect((await stat(a)).mode & 0o777).toBe(0o700);
      await expect(files().makeTempFolder(folder, '../x')).rejects.toMatchObject({ code: 'BAD_NAME' });
      await expect(files().makeTempFolder(join(folder, 'no'), 'x')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    });

    test('are removed when empty, or with all that is in them', async () => {
      const folder = await tempFolder();
      await files().makeFolder(join(folder, 'a/b'), { recursive: true });
      await expect(files().removeFolder(join(folder, 'a'))).rejects.toMatchObject({ code: 'NOT_EMPTY' });
      await files().removeFolder(join(folder, 'a'), { recursive: true });
      await files().removeFolder(join(folder, 'a'), { recursive: true });
      await files().removeFolder(join(folder, 'a'));
      expect(await files().list(folder)).toEqual([]);
    });

    test('removed recursively leave what a link in them leads to', async () => {
      const folder = await tempFolder();
      await files().makeFolder(join(folder, 'kept'));
      await writeFile(join(folder, 'kept/f'), 'kept');
      await files().makeFolder(join(folder, 'gone'));
      await symlink('../kept', join(folder, 'gone/link'));
      await files().removeFolder(join(folder, 'gone'), { recursive: true });
      expect(await readFile(join(folder, 'kept/f'), 'utf8')).toBe('kept');
    });

    test('can be synced; a file or nothing cannot', async () => {
      const folder = await tempFolder();
      await files().syncFolder(folder);
      await expect(files().syncFolder(join(folder, 'absent'))).rejects.toMatchObject({ code: 'NOT_FOUND' });
    });
  });

  describe('the rest', () => {
    test('remove takes a file or a link, and nothing at all, but no folder', async () => {
      const folder = await tempFolder();
      await writeFile(join(folder, 'f'), '');
      await symlink('f', join(folder, 'link'));
      await files().remove(join(folder, 'link'));
      expect(await files().stat(join(folder, 'f'))).not.toBeNull();
      await files().remove(join(folder, 'f'));
      await files().remove(join(folder, 'f'));
      await expect(files().remove(folder)).rejects.toMatchObject({ code: 'WRONG_KIND' });
    });

    test('chmod sets the mode', async () => {
      const path = join(await tempFolder(), 'f');
      await writeFile(path, '');
      await files().chmod(path, 0o400);
      expect(await files().stat(path)).toMatchObject({ mode: 0o400 });
    });

    test('freeSpace agrees with df', async () => {
      const df = execFileSync('df', ['--output=avail', '-B1', '/dev/shm'], { encoding: 'utf8' });
      const free = await files().freeSpace('/dev/shm');
      expect(Math.abs(free - Number(df.split('\n')[1]))).toBeLessThan(free / 4);
      await expect(files().freeSpace('/nonexistent')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    });
  });
});
