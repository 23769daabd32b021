import { appendFile, copyFile, mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  diskOfImage,
  host,
  MIB,
  makeFileSystem,
  makePartitions,
  makePoint,
  place,
  writeInto,
} from '@virtnbd/sample-sets';
import { guestfsEnvironment, requires, run, type TempFolder, tempFolder } from '@virtnbd/test-kit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type MapContext, type MapEvent, Mapping, type MapRequest } from '../src/index.ts';
import { fingerprint } from './support.ts';

/**
 * A file of a mount, read by a process of its own. Read by this one, which serves the disk, it could hang for ever: a program
 * that is started meanwhile closes its copy of the open file first, FUSE waits with that for guestmount, guestmount for the
 * disk, and this process for the program to have started.
 */
async function mounted(path: string): Promise<string> {
  return (await run('cat', [path])).stdout;
}

/** A backup folder, and a folder for all that a mapping makes. */
class Bench implements AsyncDisposable {
  readonly folder: TempFolder;
  readonly scratch: TempFolder;
  readonly events: MapEvent[] = [];
  #before: Uint8Array | undefined;
  #points = 0;

  private constructor(folder: TempFolder, scratch: TempFolder) {
    this.folder = folder;
    this.scratch = scratch;
  }

  static async make(): Promise<Bench> {
    return new Bench(await tempFolder(), await tempFolder());
  }

  path(name: string): string {
    return join(this.scratch.path, name);
  }

  /** Saves an image as the next restore point: a full, then increments, compressed. */
  async save(image: string): Promise<void> {
    const bytes = new Uint8Array(await readFile(image));
    const disk = { ...diskOfImage(bytes, this.#before), compression: 'lz4' as const };
    await makePoint(this.folder.path, { number: this.#points++, disks: [disk] });
    this.#before = bytes;
  }

  async mount(target: string, partition?: string, more: Partial<MapRequest> = {}, context: Partial<MapContext> = {}) {
    return await Mapping.start(
      {
        disks: { kind: 'folder', folder: this.folder.path, point: 'latest' },
        overlay: { kind: 'temporary', folder: this.scratch.path },
        address: 'private',
        runtimeFolder: this.scratch.path,
        attach: { kind: 'mount', target, partition },
        ...more,
      },
      { host, root: true, onEvent: (event) => this.events.push(event), ...context },
    );
  }

  /** What is there of a mapping: files, mounts, loop devices. */
  async traces(): Promise<string[]> {
    const { stdout: mounts } = await run('findmnt', ['--list', '--noheadings', '--output', 'TARGET']);
    const { stdout: loops } = await run('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE']);
    const lines = [...mounts.split('\n'), ...loops.split('\n')];
    return [...(await readdir(this.scratch.path)), ...lines.filter((line) => line.includes(this.scratch.path))];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.folder.remove();
    await this.scratch.remove();
  }
}

const needed = requires('root', 'fuse', 'nbdfuse', 'mkfs.ext4', 'mkfs.xfs', 'sfdisk', 'debugfs');

describe.skipIf(needed.skip)('a disk with an ext4 and an xfs partition', () => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await Bench.make();
    const [disk, ext4, xfs] = [bench.path('disk.raw'), bench.path('ext4.raw'), bench.path('xfs.raw')];
    const [first, second] = await makePartitions(disk, 360 * MIB, 'label: gpt\nsize=16M\nsize=320M\n');
    await makeFileSystem(ext4, { type: 'ext4', size: 16 * MIB, label: 'root', files: { 'etc/motd': 'full\n' } });
    await makeFileSystem(xfs, { type: 'xfs', size: 320 * MIB, label: 'data' });
    await place(xfs, disk, second?.start ?? 0);
    await place(ext4, disk, first?.start ?? 0);
    await bench.save(disk);
    await writeInto(ext4, 'increment', 'of the increment\n');
    await place(ext4, disk, first?.start ?? 0);
    await bench.save(disk);
  });
  afterAll(async () => await bench[Symbol.asyncDispose]());

  test('the ext4 one is mounted with the files of the increment, and taken away without a trace', async () => {
    const before = [await fingerprint(bench.folder.path), await bench.traces()];
    const target = bench.path('mount [é]');
    {
      await using mapping = await bench.mount(target, '1');
      const description = 'partition 1, 16 MiB, ext4 "root"';
      expect(mapping.attached).toEqual({ kind: 'mount', target, way: 'loop', description });
      expect(await mounted(join(target, 'etc/motd'))).toBe('full\n');
      expect(await mounted(join(target, 'increment'))).toBe('of the increment\n');
      await expect(appendFile(join(target, 'increment'), 'x')).rejects.toMatchObject({ code: 'EROFS' });
    }
    expect([await fingerprint(bench.folder.path), await bench.traces()]).toEqual(before);
  });

  test('the xfs one can be mounted beside itself at another point', async () => {
    await mkdir(bench.path('older'));
    const full = { kind: 'folder', folder: bench.folder.path, point: 'virtnbdbackup.0' } as const;
    await using newest = await bench.mount(bench.path('newest'), '2');
    await using older = await bench.mount(bench.path('older'), '2', { disks: full });
    expect([newest.attached, older.attached]).toMatchObject([{ way: 'loop' }, { way: 'loop' }]);
    const { stdout } = await run('findmnt', ['--list', '--noheadings', '--output', 'TARGET,FSTYPE', '--types', 'xfs']);
    for (const name of ['newest', 'older']) expect(stdout).toMatch(new RegExp(`${bench.path(name)} +xfs`));
  });

  test('without a number both are listed, and nothing is made', async () => {
    const before = await bench.traces();
    const refused = bench.mount(bench.path('none'));
    await expect(refused).rejects.toMatchObject({
      code: 'CHOOSE_PARTITION',
      message: expect.stringMatching(/partition 1, 16 MiB, ext4 "root"\npartition 2, 320 MiB, xfs "data"/),
    });
    expect(await bench.traces()).toEqual(before);
  });

  test('a mount that the kernel refuses leaves nothing', async () => {
    const before = await bench.traces();
    // Damaged for the kernel, not for the backup: an overlay in which the file system's superblock is broken.
    const overlay = { kind: 'kept', path: bench.path('broken') } as const;
    {
      await using mapping = await bench.mount('', undefined, { overlay, attach: undefined });
      const uri = mapping.exports[0]?.uri ?? '';
      await run('qemu-io', ['-f', 'raw', uri, '-c', `write -z ${MIB + 1024 + 4} 40`]);
    }
    await expect(bench.mount(bench.path('none'), '1', { overlay })).rejects.toMatchObject({ program: 'mount' });
    await host.files.remove(overlay.path);
    expect(await bench.traces()).toEqual(before);
  });
});

describe.skipIf(needed.skip)('an ext4 that was in use when it was saved', () => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await Bench.make();
    const image = bench.path('disk.raw');
    await makeFileSystem(image, { type: 'ext4', size: 16 * MIB });
    const live = bench.path('live');
    await mkdir(live);
    await run('mount', ['-o', 'loop', image, live]);
    try {
      await appendFile(join(live, 'written'), 'before the backup\n');
      await run('sync', ['--file-system', live]);
      await copyFile(image, bench.path('crashed.raw'));
    } finally {
      await run('umount', [live]);
    }
    await bench.save(bench.path('crashed.raw'));
  });
  afterAll(async () => await bench[Symbol.asyncDispose]());

  test('is mounted: its journal is replayed into the overlay', async () => {
    const { stdout } = await run('dumpe2fs', ['-h', bench.path('crashed.raw')]);
    expect(stdout).toContain('needs_recovery');
    const before = await fingerprint(bench.folder.path);
    {
      await using _ = await bench.mount(bench.path('mount'));
      expect(await mounted(bench.path('mount/written'))).toBe('before the backup\n');
    }
    expect(await fingerprint(bench.folder.path)).toEqual(before);
  });

  test('is mounted without its journal where nothing may be written', async () => {
    await using _ = await bench.mount(bench.path('mount'), undefined, { overlay: undefined });
    expect(await readdir(bench.path('mount'))).toContain('lost+found');
  });
});

const guestfs = requires('fuse', 'guestmount', 'guestfish', 'guest', 'mkfs.ext4');

describe.skipIf(guestfs.skip)('through guestmount', () => {
  let bench: Bench;
  beforeAll(async () => {
    Object.assign(process.env, await guestfsEnvironment());
    bench = await Bench.make();
    const [disk, full] = [bench.path('disk.raw'), bench.path('full.raw')];
    await makePartitions(disk, 80 * MIB, 'label: dos\nsize=64M, type=8e\n');
    const script = [
      'run',
      'pvcreate /dev/sda1',
      'vgcreate guestvg /dev/sda1',
      'lvcreate root guestvg 32',
      'mkfs ext4 /dev/guestvg/root',
      'mount /dev/guestvg/root /',
      'write /full "of the full"',
      'umount-all',
      'sync',
      `!cp ${disk} ${full}`,
      'mount /dev/guestvg/root /',
      'write /increment "of the increment"',
      'umount-all',
    ];
    await run('guestfish', ['--format=raw', '-a', disk], { input: script.join('\n') });
    await bench.save(full);
    await bench.save(disk);
  });
  afterAll(async () => await bench[Symbol.asyncDispose]());

  test('a file of an increment in a logical volume is read without root; after a SIGKILL of guestmount, too, nothing is left', async () => {
    const before = [await fingerprint(bench.folder.path), await bench.traces()];
    const target = bench.path('mount');
    {
      await using mapping = await bench.mount(target, 'guestvg/root', { overlay: undefined }, { root: false });
      const description = 'logical volume /dev/guestvg/root';
      expect(mapping.attached).toEqual({ kind: 'mount', target, way: 'guestmount', description });
      expect(await mounted(join(target, 'full'))).toBe('of the full');
      expect(await mounted(join(target, 'increment'))).toBe('of the increment');
      const { stdout } = await run('pgrep', ['-P', String(process.pid), '-f', 'guestmount']);
      process.kill(Number(stdout), 'SIGKILL');
      await expect(mapping.ended).rejects.toMatchObject({ code: 'ENDED' });
    }
    expect([await fingerprint(bench.folder.path), await bench.traces()]).toEqual(before);
  });

  test('a volume group is never taken for a file system: the message says how to reach what is in it', async () => {
    await expect(bench.mount(bench.path('mount'))).rejects.toMatchObject({
      code: 'CHOOSE_PARTITION',
      message: expect.stringMatching(
        /partition 1, 64 MiB, LVM "guestvg" \(name a logical volume: --partition guestvg\/NAME\)/,
      ),
    });
  });

  test('what guestmount says when it fails is told, and nothing is left', async () => {
    const before = await bench.traces();
    const backend = process.env.LIBGUESTFS_BACKEND;
    process.env.LIBGUESTFS_BACKEND = 'none';
    try {
      const refused = bench.mount(bench.path('mount'), 'guestvg/root', {}, { root: false });
      await expect(refused).rejects.toMatchObject({ code: 'ENDED', message: expect.stringContaining('backend') });
    } finally {
      process.env.LIBGUESTFS_BACKEND = backend;
    }
    expect(await bench.traces()).toEqual(before);
  });
});
