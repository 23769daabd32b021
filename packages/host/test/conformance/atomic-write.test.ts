import { execFileSync } from 'node:child_process';
import { link, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { requires } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { isTemporaryName } from '../../src/index.ts';
import { oddNames, tempFolder } from '../temp.ts';
import { describeHosts } from './describe-hosts.ts';

describeHosts('complete or not at all', (host) => {
  const files = () => host().files;

  describe('writeAtomic', () => {
    test.each(oddNames)('writes %j with mode 0600 and leaves nothing else', async (name) => {
      const folder = await tempFolder();
      await files().writeAtomic(join(folder, name), 'é');
      expect(await readdir(folder)).toEqual([name]);
      expect(await readFile(join(folder, name), 'utf8')).toBe('é');
      expect((await stat(join(folder, name))).mode & 0o777).toBe(0o600);
    });

    test('sets the mode that is asked for, whatever the umask', async () => {
      const path = join(await tempFolder(), 'f');
      await files().writeAtomic(path, Uint8Array.of(1), { mode: 0o666 });
      expect((await stat(path)).mode & 0o777).toBe(0o666);
    });

    test('replaces a file unless told not to', async () => {
      const folder = await tempFolder();
      const path = join(folder, 'f');
      await files().writeAtomic(path, 'one');
      await files().writeAtomic(path, 'two');
      await expect(files().writeAtomic(path, 'three', { replace: false })).rejects.toMatchObject({
        code: 'EXISTS',
        path,
      });
      expect(await readFile(path, 'utf8')).toBe('two');
      expect(await readdir(folder)).toEqual(['f']);
    });

    test('replaces a link itself, not what it leads to', async () => {
      const folder = await tempFolder();
      await writeFile(join(folder, 'other'), 'kept');
      await symlink('other', join(folder, 'link'));
      await files().writeAtomic(join(folder, 'link'), 'new');
      expect(await readFile(join(folder, 'other'), 'utf8')).toBe('kept');
    });

    test('removes its temporary file when the rename fails', async () => {
      const folder = await tempFolder();
      await mkdir(join(folder, 'taken'));
      await expect(files().writeAtomic(join(folder, 'taken'), 'x')).rejects.toMatchObject({
        code: 'WRONG_KIND',
        path: join(folder, 'taken'),
      });
      expect(await readdir(folder)).toEqual(['taken']);
    });

    test('names the file that was asked for when its folder is missing', async () => {
      const path = join(await tempFolder(), 'no', 'f');
      const write = files().writeAtomic(path, 'x');
      await expect(write).rejects.toMatchObject({ code: 'NOT_FOUND', path });
      await expect(write).rejects.toThrow(`cannot write ${path}:`);
    });

    test('its temporary names look like no backup file', async () => {
      const folder = await tempFolder();
      const seen = new Set<string>();
      let done = false;
      const watching = (async () => {
        while (!done) {
          for (const name of await readdir(folder)) seen.add(name);
        }
      })();
      for (let i = 0; i < 100; i++)
        await files().writeAtomic(join(folder, 'vda.full.data.chksum'), new Uint8Array(100_000));
      done = true;
      await watching;
      const temporary = [...seen].filter((name) => name !== 'vda.full.data.chksum');
      expect(temporary.length).toBeGreaterThan(0);
      expect(temporary.every(isTemporaryName)).toBe(true);
      expect(temporary.join()).not.toMatch(/\.data|\.partial|\.qcow\.json|vmconfig/);
    });
  });

  describe('createExclusive', () => {
    test('says true once, false after that, and keeps the first content', async () => {
      const folder = await tempFolder();
      const path = join(folder, 'lock');
      expect(await files().createExclusive(path, 'first')).toBe(true);
      expect(await files().createExclusive(path, 'second')).toBe(false);
      expect(await readFile(path, 'utf8')).toBe('first');
      expect(await readdir(folder)).toEqual(['lock']);
    });

    test('lets one of many calls win', async () => {
      const path = join(await tempFolder(), 'lock');
      const contents = ['a', 'b', 'c', 'd', 'e', 'f'].map((who) => who.repeat(100_000));
      const won = await Promise.all(contents.map((content) => files().createExclusive(path, content)));
      expect(won.filter((each) => each)).toEqual([true]);
      expect(await readFile(path, 'utf8')).toBe(contents[won.indexOf(true)]);
    });

    test('is false for a dangling link too', async () => {
      const path = join(await tempFolder(), 'lock');
      await symlink('nowhere', path);
      expect(await files().createExclusive(path, 'x')).toBe(false);
    });

    test('says what is wrong when the folder is missing', async () => {
      await expect(files().createExclusive('/nonexistent/lock', 'x')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    });
  });

  describe('rename', () => {
    test('moves a file and never replaces one', async () => {
      const folder = await tempFolder();
      const [a, b] = [join(folder, 'a'), join(folder, 'b')];
      await writeFile(a, 'a');
      await files().rename(a, b);
      expect(await readdir(folder)).toEqual(['b']);
      await writeFile(a, 'other');
      await expect(files().rename(a, b)).rejects.toMatchObject({ code: 'EXISTS', path: b });
      expect(await readFile(b, 'utf8')).toBe('a');
      expect(await readFile(a, 'utf8')).toBe('other');
    });

    test('replaces when told to', async () => {
      const folder = await tempFolder();
      await writeFile(join(folder, 'a'), 'a');
      await writeFile(join(folder, 'b'), 'b');
      await files().rename(join(folder, 'a'), join(folder, 'b'), { replace: true });
      expect(await readFile(join(folder, 'b'), 'utf8')).toBe('a');
      expect(await readdir(folder)).toEqual(['b']);
    });

    test('never loses a file that is renamed to its own name, however that is written', async () => {
      const folder = await tempFolder();
      await writeFile(join(folder, 'a'), 'a');
      await link(join(folder, 'a'), join(folder, 'b'));
      await symlink('.', join(folder, 'here'));
      for (const to of [join(folder, 'a'), join(folder, 'here', 'a')]) {
        await expect(files().rename(join(folder, 'a'), to)).rejects.toMatchObject({ code: 'EXISTS' });
      }
      expect(await readdir(folder)).toEqual(['a', 'b', 'here']);
    });

    test('moves a folder, but not onto one', async () => {
      const folder = await tempFolder();
      await mkdir(join(folder, 'a'));
      await mkdir(join(folder, 'empty'));
      await expect(files().rename(join(folder, 'a'), join(folder, 'empty'))).rejects.toMatchObject({ code: 'EXISTS' });
      await files().rename(join(folder, 'a'), join(folder, 'c'));
      expect(await readdir(folder)).toEqual(['c', 'empty']);
    });

    test('says NOT_FOUND for an absent file', async () => {
      const folder = await tempFolder();
      await expect(files().rename(join(folder, 'a'), join(folder, 'b'))).rejects.toMatchObject({ code: 'NOT_FOUND' });
    });
  });

  describe('copy', () => {
    test('copies whole files with mode 0600 and replaces none', async () => {
      const folder = await tempFolder();
      const content = Buffer.alloc(2_500_000, 'abc');
      await writeFile(join(folder, 'a'), content, { mode: 0o644 });
      await files().copy(join(folder, 'a'), join(folder, 'b'));
      expect(Buffer.compare(await readFile(join(folder, 'b')), content)).toBe(0);
      expect((await stat(join(folder, 'b'))).mode & 0o777).toBe(0o600);
      await expect(files().copy(join(folder, 'a'), join(folder, 'b'))).rejects.toMatchObject({ code: 'EXISTS' });
      expect(await readdir(folder)).toEqual(['a', 'b']);
    });

    test('copies an empty file', async () => {
      const folder = await tempFolder();
      await writeFile(join(folder, 'a'), '');
      await files().copy(join(folder, 'a'), join(folder, 'b'));
      expect((await stat(join(folder, 'b'))).size).toBe(0);
    });

    test('refuses what is no regular file, names an absent source, obeys an abort', async () => {
      const folder = await tempFolder();
      execFileSync('mkfifo', [join(folder, 'fifo')]);
      await expect(files().copy(join(folder, 'fifo'), join(folder, 'b'))).rejects.toMatchObject({ code: 'WRONG_KIND' });
      await expect(files().copy(join(folder, 'x'), join(folder, 'b'))).rejects.toMatchObject({
        code: 'NOT_FOUND',
        path: join(folder, 'x'),
      });
      const reason = new Error('enough');
      await expect(files().copy('/etc/passwd', join(folder, 'b'), { signal: AbortSignal.abort(reason) })).rejects.toBe(
        reason,
      );
      expect(await readdir(folder)).toEqual(['fifo']);
    });
  });

  describe.skipIf(requires('root').skip)('a full, read-only or forbidden folder', () => {
    async function onTmpfs(options: string, use: (folder: string) => Promise<void>): Promise<void> {
      const folder = await tempFolder();
      execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', folder]);
      try {
        await use(folder);
      } finally {
        execFileSync('umount', [folder]);
      }
    }

    test('no space: NO_SPACE for every way to write, and no temporary file stays', async () => {
      await onTmpfs('size=1M', async (folder) => {
        await files().writeAtomic(join(folder, 'small'), 'kept');
        const big = new Uint8Array(2 * 1024 * 1024);
        const failure = { code: 'NO_SPACE', path: join(folder, 'f') };
        await expect(files().writeAtomic(join(folder, 'f'), big)).rejects.toMatchObject(failure);
        await expect(files().createExclusive(join(folder, 'f'), big)).rejects.toMatchObject(failure);
        await expect(files().copy(process.execPath, join(folder, 'f'))).rejects.toMatchObject(failure);
        expect(await readdir(folder)).toEqual(['small']);
        expect(await readFile(join(folder, 'small'), 'utf8')).toBe('kept');
      });
    });

    test('no space in mid-file: the write is cut short, then fails', async () => {
      await onTmpfs('size=1M', async (folder) => {
        await using file = await files().open(join(folder, 'f'), 'create');
        const write = file.write([new Uint8Array(700_000), new Uint8Array(700_000)]);
        await expect(write).rejects.toMatchObject({ code: 'NO_SPACE', path: join(folder, 'f') });
        expect(await file.size()).toBeGreaterThan(700_000);
      });
    });

    test('read-only: READ_ONLY', async () => {
      await onTmpfs('ro', async (folder) => {
        const failure = { code: 'READ_ONLY' };
        await expect(files().writeAtomic(join(folder, 'f'), 'x')).rejects.toMatchObject({
          ...failure,
          path: join(folder, 'f'),
        });
        await expect(files().open(join(folder, 'f'), 'create')).rejects.toMatchObject(failure);
        await expect(files().makeFolder(join(folder, 'd'))).rejects.toMatchObject(failure);
      });
    });
  });
});
