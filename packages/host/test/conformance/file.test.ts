import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { requires } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { oddNames, tempFolder } from '../temp.ts';
import { describeHosts } from './describe-hosts.ts';

describeHosts('an open file', (host) => {
  const files = () => host().files;

  describe('open', () => {
    test('creates a file of mode 0600 and refuses one that exists', async () => {
      const path = join(await tempFolder(), 'f');
      await (await files().open(path, 'create')).close();
      expect((await stat(path)).mode & 0o777).toBe(0o600);
      await expect(files().open(path, 'create')).rejects.toMatchObject({ code: 'EXISTS', path });
    });

    test('says NOT_FOUND for an absent file', async () => {
      const path = join(await tempFolder(), 'f');
      await expect(files().open(path, 'read')).rejects.toMatchObject({ code: 'NOT_FOUND', path });
      await expect(files().open(path, 'read-write')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    });

    test.each(['read', 'read-write', 'append-new'] as const)('refuses a FIFO for %s without hanging', async (mode) => {
      const path = join(await tempFolder(), 'fifo');
      execFileSync('mkfifo', [path]);
      await expect(files().open(path, mode)).rejects.toMatchObject({ code: 'WRONG_KIND' });
    });

    test('refuses a folder', async () => {
      const folder = await tempFolder();
      await expect(files().open(folder, 'read')).rejects.toMatchObject({ code: 'WRONG_KIND' });
      await expect(files().open(folder, 'read-write')).rejects.toMatchObject({ code: 'WRONG_KIND' });
    });

    test('refuses to read a character device', async () => {
      await expect(files().open('/dev/zero', 'read')).rejects.toMatchObject({ code: 'WRONG_KIND' });
    });

    test('refuses a name with a NUL byte', async () => {
      await expect(files().open('/tmp/a\0b', 'read')).rejects.toMatchObject({ code: 'BAD_NAME' });
    });

    test.each(oddNames)('takes the odd name %j', async (name) => {
      const path = join(await tempFolder(), name);
      await using file = await files().open(path, 'create');
      await file.write([Buffer.from('content')]);
      expect(await readFile(path, 'utf8')).toBe('content');
    });

    test('escapes control characters of a name in its message', async () => {
      const path = join(await tempFolder(), 'new\nline\u001b[31m');
      await expect(files().open(path, 'read')).rejects.toThrow('new\\nline\\u001b[31m"');
    });
  });

  describe('read', () => {
    test('fills the buffer from any offset, many at once', async () => {
      const path = join(await tempFolder(), 'f');
      const content = randomBytes(100_000);
      await writeFile(path, content);
      await using file = await files().open(path, 'read');
      const pieces = Array.from({ length: 20 }, (_, i) => ({ offset: i * 4_999, buffer: new Uint8Array(5_000) }));
      await Promise.all(pieces.map(({ offset, buffer }) => file.read(offset, buffer)));
      for (const { offset, buffer } of pieces) {
        expect(Buffer.compare(buffer, content.subarray(offset, offset + 5_000))).toBe(0);
      }
    });

    test('rejects with SHORT_READ past the end, and says where the file ends', async () => {
      const path = join(await tempFolder(), 'f');
      await writeFile(path, '0123456789');
      await using file = await files().open(path, 'read');
      const read = file.read(8, new Uint8Array(4));
      await expect(read).rejects.toMatchObject({ code: 'SHORT_READ', path });
      await expect(read).rejects.toThrow('ends at 10');
      await expect(file.read(50, new Uint8Array(1))).rejects.toMatchObject({ code: 'SHORT_READ' });
      await file.read(50, new Uint8Array(0));
    });

    test.each([-1, 0.5, Number.NaN, 2 ** 60])('refuses the offset %d', async (offset) => {
      const path = join(await tempFolder(), 'f');
      await writeFile(path, '0123456789');
      await using file = await files().open(path, 'read-write');
      await expect(file.read(offset, new Uint8Array(1))).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
      await expect(file.writeAt(offset, new Uint8Array(1))).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
      await expect(file.truncate(offset)).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
    });
  });

  describe('write', () => {
    test('appends all chunks in the order of overlapping calls', async () => {
      const path = join(await tempFolder(), 'f');
      await using file = await files().open(path, 'create');
      const pieces = Array.from({ length: 200 }, (_, i) => `piece ${i};`);
      await Promise.all(
        pieces.map((piece) => file.write([Buffer.from(piece.slice(0, 3)), Buffer.from(piece.slice(3))])),
      );
      expect(await readFile(path, 'utf8')).toBe(pieces.join(''));
      expect(await file.size()).toBe(pieces.join('').length);
    });

    test('append-new creates with mode 0600, then appends to what is there', async () => {
      const path = join(await tempFolder(), 'log');
      for (const text of ['one\n', 'two\n']) {
        await using file = await files().open(path, 'append-new');
        await file.write([Buffer.from(text)]);
        await expect(file.writeAt(0, new Uint8Array(1))).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
      }
      expect(await readFile(path, 'utf8')).toBe('one\ntwo\n');
      expect((await stat(path)).mode & 0o777).toBe(0o600);
    });

    test('read-write appends at the end and changes in the middle', async () => {
      const path = join(await tempFolder(), 'f');
      await writeFile(path, '0123456789');
      await using file = await files().open(path, 'read-write');
      await file.write([Buffer.from('ab')]);
      await file.writeAt(4, Buffer.from('XY'));
      await file.writeAt(14, Buffer.from('!'));
      await file.write([Buffer.from('end')]);
      expect(await readFile(path, 'utf8')).toBe('0123XY6789ab\0\0!end');
      await file.truncate(3);
      await file.write([Buffer.from('new')]);
      expect(await readFile(path, 'utf8')).toBe('012new');
    });

    test('after one that failed every later one fails', async () => {
      await using file = await files().open('/dev/full', 'read-write');
      await expect(file.write([new Uint8Array(10)])).rejects.toMatchObject({ path: '/dev/full' });
      await expect(file.write([])).rejects.toMatchObject({ path: '/dev/full' });
    });

    test('writing to a file that is open for reading is an error', async () => {
      const path = join(await tempFolder(), 'f');
      await writeFile(path, 'x');
      await using file = await files().open(path, 'read');
      await expect(file.write([Buffer.from('y')])).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
    });
  });

  describe('close', () => {
    test('waits for writes under way, may be called twice, and leaves the file unusable', async () => {
      const path = join(await tempFolder(), 'f');
      const file = await files().open(path, 'create');
      const writes = [file.write([new Uint8Array(1_000_000)]), file.write([new Uint8Array(1_000_000)])];
      await Promise.all([file.close(), file.close()]);
      await Promise.all(writes);
      expect((await stat(path)).size).toBe(2_000_000);
      await expect(file.read(0, new Uint8Array(1))).rejects.toMatchObject({ code: 'CLOSED' });
      await expect(file.sync()).rejects.toMatchObject({ code: 'CLOSED' });
    });
  });

  describe.skipIf(requires('root').skip)('block devices', () => {
    test('tells the size of one and reads and writes it', async () => {
      const path = join(await tempFolder(), 'image');
      await writeFile(path, new Uint8Array(3 * 1024 * 1024));
      const device = execFileSync('losetup', ['--find', '--show', path], { encoding: 'utf8' }).trim();
      try {
        await using file = await files().open(device, 'read-write');
        expect(await file.size()).toBe(3 * 1024 * 1024);
        await file.writeAt(4096, Buffer.from('hello'));
        const buffer = new Uint8Array(5);
        await file.read(4096, buffer);
        expect(Buffer.from(buffer).toString()).toBe('hello');
        await file.sync();
      } finally {
        execFileSync('losetup', ['--detach', device]);
      }
    });
  });
});
