import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { requires, run, TestLibvirt, tempFolder, untilClosed } from '@virtnbd/test-kit';
import { describe, expect, test } from 'vitest';
import { bytesSource, checkStream, StreamFile } from '../../src/index.ts';
import { applyFrames, sha256 } from '../fixtures.ts';
import { type Frame, payloadOf, writeStream } from '../writing.ts';
import { ESTABLISHED_BACKUP, FOLDER_NAMES, writeFolders } from './write-folders.ts';

const FIXTURES = join(import.meta.dirname, '../fixtures/established-1.9');

const open = async (path: string) => await StreamFile.open(bytesSource(await readFile(path)), { name: basename(path) });

/** The data files of a folder in the order of their points, with what the disk held at each. */
async function points(folder: string): Promise<{ file: string; sha256: string }[]> {
  const names = await readdir(folder);
  const text = await readFile(join(folder, 'EXPECTED.sha256'), 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => {
      const [hash = '', pattern = ''] = line.split(' ');
      const start = pattern.split('*')[0] ?? '';
      const file = names.find((name) => name.startsWith(start) && name.endsWith('.data')) ?? pattern;
      return { file, sha256: hash };
    });
}

/** What two runs of the same backup have in common. */
function facts({ meta, index }: StreamFile): unknown {
  const frames = Array.from({ length: index.count }, (_, i) => [index.kind(i), index.start(i), index.length(i)]);
  return { ...meta, date: typeof meta.date, frames };
}

describe('files of version 1.9.15 of the established tool', () => {
  test.each(FOLDER_NAMES)('%s: the frames give the disk as it was', async (name) => {
    const folder = join(FIXTURES, name);
    let disk = new Uint8Array(0);
    for (const { file, sha256: expected } of await points(folder)) {
      const stream = await open(join(folder, file));
      if (!stream.meta.incremental) disk = new Uint8Array(stream.meta.virtualSize);
      await applyFrames(stream, disk);
      expect(sha256(disk), file).toBe(expected);
      const report = await checkStream(bytesSource(await readFile(join(folder, file))), { depth: 'frames' });
      expect(report.problems).toEqual([]);
    }
  });
});

const skip = requires('libvirt', 'virtnbdbackup').skip || !existsSync(ESTABLISHED_BACKUP);

describe.skipIf(skip)('with the installed established tool', { timeout: 180_000 }, () => {
  test('it writes the fixtures again, frame by frame', async () => {
    await using made = await tempFolder();
    await writeFolders(made.path);
    const { stdout } = await run(ESTABLISHED_BACKUP, ['-V']);
    for (const name of FOLDER_NAMES) {
      const [ours, theirs] = [await points(join(FIXTURES, name)), await points(join(made.path, name))];
      for (const [number, { file }] of theirs.entries()) {
        const again = await open(join(made.path, name, file));
        expect(again.index.dataSize).toBe(again.meta.dataSize);
        if (stdout.trim() !== '1.9.15') continue;
        expect(facts(again), file).toEqual(facts(await open(join(FIXTURES, name, ours[number]?.file ?? ''))));
      }
    }
  });

  test.each([undefined, 'lz4'] as const)('ours → theirs → ours comes back the same (%s)', async (compression) => {
    await using work = await tempFolder();
    const libvirt = await TestLibvirt.start();
    try {
      const { folder, disk, size } = await ourFolder(work.path, libvirt, compression);
      const restored = join(work.path, 'restored');
      const log = join(work.path, 'restore.log');
      await run('/usr/bin/virtnbdrestore', ['-U', libvirt.uri, '-i', folder, '-o', restored, '-L', log, '-n']);
      const image = (await readdir(restored)).find((name) => name.endsWith('.qcow2')) ?? '';
      await untilClosed(join(restored, image));
      const moved = join(libvirt.workFolder, 'moved.qcow2');
      await copyFile(join(restored, image), moved);
      const vm = await libvirt.createVm({ name: 'back', disks: [{ target: 'vda', image: moved }] });
      const again = join(work.path, 'again');
      await mkdir(again);
      const args = compression === undefined ? [] : ['-z'];
      await run(ESTABLISHED_BACKUP, ['-U', libvirt.uri, '-d', vm.name, '-o', again, '-l', 'copy', '-n', ...args]);
      const theirs = await open(join(again, 'vda.copy.data'));
      const found = new Uint8Array(theirs.meta.virtualSize);
      await applyFrames(theirs, found);
      expect(sha256(found)).toBe(sha256(disk));
      const { length } = await readFile(join(again, 'vda.copy.data'));
      expect(size).toBeLessThan(length * 1.002); // theirs is one frame: ours cannot look back over each MiB
    } finally {
      await libvirt.stop();
    }
  });
});

/** A folder of the established tool in which the data file is one of ours, with what that holds. */
async function ourFolder(work: string, libvirt: TestLibvirt, compression: 'lz4' | undefined) {
  const virtualSize = 8 << 20;
  const vm = await libvirt.createVm({ name: 'there', disks: [{ target: 'vda', size: virtualSize }] });
  const folder = join(work, 'folder');
  await mkdir(folder);
  await run(ESTABLISHED_BACKUP, ['-U', libvirt.uri, '-d', vm.name, '-o', folder, '-l', 'full', '-n']);
  await vm.destroy();
  const frames: Frame[] = [];
  const disk = new Uint8Array(virtualSize);
  for (let start = 0; start < virtualSize; start += 1 << 20) {
    if (start >> 20 === 3) frames.push({ start, length: 1 << 20 });
    else {
      const payload = payloadOf(1 << 20);
      disk.set(payload, start);
      frames.push({ start, length: payload.length, payload });
    }
  }
  const { bytes } = await writeStream(virtualSize, frames, {
    compression,
    meta: { writer: { name: 'virtnbd', version: '1.0.0' } },
  });
  await writeFile(join(folder, 'vda.full.data'), bytes);
  return { folder, disk, size: bytes.length };
}
