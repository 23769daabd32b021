import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { diskOfImage, host, MIB, makePoint } from '@virtnbd/sample-sets';
import { requires, run, type TempFolder, tempFolder } from '@virtnbd/test-kit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type AttachRequest, type MapEvent, Mapping, type MapRequest } from '../src/index.ts';
import { makeFileSystem, writeInto } from './images.ts';
import { fingerprint } from './support.ts';

const needed = requires('root', 'fuse', 'nbdfuse', 'mkfs.ext4', 'debugfs');

describe.skipIf(needed.skip)('a disk with an ext4 file system', () => {
  let folder: TempFolder;
  let scratch: TempFolder;
  beforeAll(async () => {
    folder = await tempFolder();
    scratch = await tempFolder();
    const image = join(scratch.path, 'disk.raw');
    await makeFileSystem(image, { type: 'ext4', size: 16 * MIB, files: { 'etc/motd': 'full\n' } });
    const full = new Uint8Array(await readFile(image));
    await makePoint(folder.path, { number: 0, disks: [{ ...diskOfImage(full), compression: 'lz4' }] });
    await writeInto(image, 'increment', 'of the increment\n');
    const next = new Uint8Array(await readFile(image));
    await makePoint(folder.path, { number: 1, disks: [{ ...diskOfImage(next, full), compression: 'lz4' }] });
  });
  afterAll(async () => {
    await folder.remove();
    await scratch.remove();
  });

  const start = async (attach: AttachRequest, more: Partial<MapRequest> = {}, events: MapEvent[] = []) =>
    await Mapping.start(
      {
        disks: { kind: 'folder', folder: folder.path, point: 'latest' },
        overlay: { kind: 'temporary', folder: scratch.path },
        address: 'private',
        runtimeFolder: scratch.path,
        attach,
        ...more,
      },
      { host, root: true, onEvent: (event) => events.push(event) },
    );

  test('is mounted with the files of the increment, and taken away without a trace', async () => {
    const before = [await fingerprint(folder.path), await traces(scratch.path)];
    const target = join(scratch.path, 'mount [é]');
    {
      await using mapping = await start({ kind: 'mount', target });
      expect(mapping.attached).toMatchObject({ kind: 'mount', target, way: 'loop' });
      expect(await readFile(join(target, 'etc/motd'), 'utf8')).toBe('full\n');
      expect(await readFile(join(target, 'increment'), 'utf8')).toBe('of the increment\n');
    }
    expect([await fingerprint(folder.path), await traces(scratch.path)]).toEqual(before);
  });

  test('ends by itself when somebody unmounts it', async () => {
    const target = join(scratch.path, 'mount');
    await using mapping = await start({ kind: 'mount', target });
    await run('umount', [target]);
    await mapping.ended;
  });
});

/** What is there of a mapping: files, mounts, loop devices. */
async function traces(scratch: string): Promise<string[]> {
  const { stdout: mounts } = await run('findmnt', ['--list', '--noheadings', '--output', 'TARGET']);
  const { stdout: loops } = await run('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE']);
  const files = (await host.files.list(scratch)).map(({ name }) => name);
  return [...files, ...[...mounts.split('\n'), ...loops.split('\n')].filter((line) => line.includes(scratch))];
}
