import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { BackupSet } from '../src/index.ts';
import { failingHost, host, InjectedError, legacyFile, makePoint, tempFolder } from './support.ts';

async function readAll(folder: string, point: string): Promise<void> {
  const set = await BackupSet.open(host, folder);
  await using opened = await set.openLayers('vda', point);
  if (opened.kind !== 'stream') throw new Error('a stream was expected');
  for (const { file } of opened.layers) {
    for (let frame = 0; frame < file.index.count; frame++) {
      if (file.index.kind(frame) === 'data') await file.payload(frame);
    }
  }
}

async function flip(path: string, position: number): Promise<void> {
  const bytes = await readFile(path);
  bytes[position] = (bytes[position] ?? 0) ^ 1;
  await writeFile(path, bytes);
}

describe('the layers of a disk', () => {
  test('of our points every read is checked by chunks', async () => {
    const folder = await tempFolder();
    await makePoint(host, folder, { number: 0 });
    await makePoint(host, folder, { number: 1 });
    const set = await BackupSet.open(host, folder);
    await using opened = await set.openLayers('vda', 'latest');
    expect(opened.kind === 'stream' && opened.layers.map(({ name, checked }) => [name, checked])).toEqual([
      ['vda.full.data', 'chunks'],
      ['vda.inc.virtnbdbackup.1.data', 'chunks'],
    ]);
    expect(opened.notes).toEqual([]);
    await readAll(folder, 'latest');
  });

  test('a flipped bit anywhere in the files of a point is refused', async () => {
    const folder = await tempFolder();
    await makePoint(host, folder, { number: 0 });
    for (const name of ['vda.full.data', 'vda.full.chunks']) {
      const path = join(folder, name);
      const bytes = await readFile(path);
      const step = Math.max(1, Math.floor(bytes.length / 40));
      for (let position = 0; position < bytes.length; position += step) {
        await flip(path, position);
        await expect(readAll(folder, 'latest')).rejects.toMatchObject({ code: 'CHECKSUM' });
        await flip(path, position);
      }
    }
    await readAll(folder, 'latest');
  });

  test('a file that was cut off, extended or removed is refused', async () => {
    const folder = await tempFolder();
    await makePoint(host, folder, { number: 0 });
    for (const [name, missing] of [
      ['vda.full.data', 'MISSING_FILE'],
      ['vda.full.chunks', 'MISSING_FILE'],
    ] as const) {
      const path = join(folder, name);
      const bytes = await readFile(path);
      for (const other of [bytes.subarray(0, -1), Buffer.concat([bytes, Buffer.from('x')]), Buffer.alloc(0)]) {
        await writeFile(path, other);
        await expect(readAll(folder, 'latest')).rejects.toMatchObject({ code: 'DAMAGED' });
      }
      await host.files.remove(path);
      await expect(readAll(folder, 'latest')).rejects.toMatchObject({ code: missing });
      await writeFile(path, bytes);
    }
    await readAll(folder, 'latest');
  });

  test('files of another chain under the right names are refused', async () => {
    const [folder, other] = [await tempFolder(), await tempFolder()];
    await makePoint(host, folder, { number: 0 });
    await makePoint(host, folder, { number: 1 });
    await makePoint(host, other, { number: 0, creationTime: 5 });
    await makePoint(host, other, { number: 1, creationTime: 6 });
    for (const { name } of await host.files.list(other)) {
      if (!name.includes('virtnbdbackup.1')) continue;
      await host.files.remove(join(folder, name));
      await host.files.copy(join(other, name), join(folder, name));
    }
    await expect(readAll(folder, 'latest')).rejects.toMatchObject({ code: 'FOREIGN' });
    await readAll(folder, 'virtnbdbackup.0');
  });

  test('a damaged manifest does not make latest mean an older point', async () => {
    const folder = await tempFolder();
    await makePoint(host, folder, { number: 0 });
    await makePoint(host, folder, { number: 1 });
    await flip(join(folder, 'virtnbdbackup.1.manifest.json'), 3);
    await expect(readAll(folder, 'latest')).rejects.toMatchObject({
      code: 'DAMAGED',
      files: ['virtnbdbackup.1.manifest.json'],
    });
    await readAll(folder, 'virtnbdbackup.0');
  });

  test('a renamed manifest is refused', async () => {
    const folder = await tempFolder();
    await makePoint(host, folder, { number: 0 });
    await host.files.rename(
      join(folder, 'virtnbdbackup.0.manifest.json'),
      join(folder, 'virtnbdbackup.5.manifest.json'),
    );
    await expect(readAll(folder, 'virtnbdbackup.5')).rejects.toMatchObject({ code: 'DAMAGED' });
  });

  test('points of two VMs in one folder are refused', async () => {
    const folder = await tempFolder();
    await makePoint(host, folder, { number: 0 });
    await makePoint(host, folder, { copy: true });
    const path = join(folder, 'copy.manifest.json');
    const text = await readFile(path, 'utf8');
    await writeFile(path, text.replace('4cddffbf', '5cddffbf'));
    await expect(readAll(folder, 'latest')).rejects.toMatchObject({ code: 'FOREIGN' });
  });

  test('our own copy beside a later full is never its parent, and never the latest', async () => {
    const folder = await tempFolder();
    await makePoint(host, folder, { copy: true });
    await makePoint(host, folder, { number: 0 });
    const set = await BackupSet.open(host, folder);
    expect(set.points.map(({ id, parent }) => [id, parent])).toEqual([
      ['copy', null],
      ['virtnbdbackup.0', null],
    ]);
    expect(set.point('latest').id).toBe('virtnbdbackup.0');
  });

  test('files without a manifest are read once for their adler32, with progress', async () => {
    const folder = await tempFolder();
    await legacyFile(folder, 'vda.full.data', {});
    const set = await BackupSet.open(host, folder);
    const steps: number[] = [];
    const onProgress = ({ done, total }: { done: number; total: number }): number => steps.push(done / total);
    await using opened = await set.openLayers('vda', 'latest', { onProgress });
    expect(opened.kind === 'stream' && opened.layers.map(({ checked }) => checked)).toEqual(['adler32']);
    expect(steps.at(-1)).toBe(1);
    await using trusted = await set.openLayers('vda', 'latest', { assumeVerified: true });
    expect(trusted.kind === 'stream' && trusted.layers.map(({ checked }) => checked)).toEqual(['assumed']);
  });

  test('a file that differs from its adler32 is refused', async () => {
    const folder = await tempFolder();
    await legacyFile(folder, 'vda.full.data', {});
    await flip(join(folder, 'vda.full.data'), 5000);
    await expect(readAll(folder, 'latest')).rejects.toMatchObject({ code: 'CHECKSUM', file: 'vda.full.data' });
  });

  test.each(['', 'x', '-1', '4294967296', '1e3', '12 34'])('the .chksum %j is refused', async (text) => {
    const folder = await tempFolder();
    await legacyFile(folder, 'vda.full.data', {});
    await writeFile(join(folder, 'vda.full.data.chksum'), text);
    await expect(readAll(folder, 'latest')).rejects.toMatchObject({ code: 'BAD_CHECKSUM_FILE' });
  });

  test('without any checksum a note says so', async () => {
    const folder = await tempFolder();
    await legacyFile(folder, 'vda.full.data', {});
    await host.files.remove(join(folder, 'vda.full.data.chksum'));
    const set = await BackupSet.open(host, folder);
    await using opened = await set.openLayers('vda', 'latest');
    expect(opened.notes).toEqual([expect.stringContaining('vda.full.data was not checked')]);
  });

  test('a file that is exchanged after the listing is refused', async () => {
    const folder = await tempFolder();
    await legacyFile(folder, 'vda.full.data', {});
    const set = await BackupSet.open(host, folder);
    await host.files.remove(join(folder, 'vda.full.data'));
    await host.files.remove(join(folder, 'vda.full.data.chksum'));
    await legacyFile(folder, 'vda.full.data', { disk: 'vdb' });
    await expect(set.openLayers('vda', 'latest')).rejects.toMatchObject({ code: 'FOREIGN' });
  });

  test('an abort is heard, and every file closed', async () => {
    const folder = await tempFolder();
    await legacyFile(folder, 'vda.full.data', {});
    const set = await BackupSet.open(host, folder);
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(set.openLayers('vda', 'latest', { signal })).rejects.toThrow('enough');
  });

  test('whichever call fails, a folder is read right or not at all', async () => {
    const folder = await tempFolder();
    await makePoint(host, folder, { number: 0 });
    await legacyFile(folder, 'vda.inc.virtnbdbackup.1.data', {
      checkpoint: 'virtnbdbackup.1',
      parent: 'virtnbdbackup.0',
      incremental: true,
    });
    const expected = (await BackupSet.open(host, folder)).points;
    for (let at = 0; ; at++) {
      const failing = failingHost(at, 'before');
      try {
        const set = await BackupSet.open(failing.host, folder);
        expect(set.points).toEqual(expected);
        await using opened = await set.openLayers('vda', 'latest');
        expect(opened.kind === 'stream' && opened.layers).toHaveLength(2);
      } catch (error) {
        const first = error instanceof SuppressedError ? error.suppressed : error;
        expect(first).toBeInstanceOf(InjectedError);
      }
      if (failing.calls() <= at) break;
    }
  });
});
