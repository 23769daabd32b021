import { existsSync } from 'node:fs';
import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { diskOfImage, host, KIB, MIB, makeFileSystem, makePoint, wholeDisk, writeInto } from '@virtnbd/sample-sets';
import { isRunning, makeCertificates, requires, run, type TempFolder, tempFolder, waitFor } from '@virtnbd/test-kit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RunningMap } from './running.ts';

/** A folder with a full of 1 MiB: 512 KiB of 0xa5, then zeroes. */
async function smallFolder(): Promise<TempFolder> {
  const folder = await tempFolder();
  const frames = wholeDisk(MIB, 512 * KIB, 0xa5);
  await makePoint(folder.path, { number: 0, disks: [{ virtualSize: MIB, frames }], chunkSize: 64 * KIB });
  return folder;
}

describe.skipIf(requires('nbdinfo', 'nbdcopy', 'qemu-io').skip)('served', () => {
  test('the URI that is printed works; SIGTERM ends the command with 143 and no trace', async () => {
    await using folder = await smallFolder();
    await using map = await RunningMap.start('-i', folder.path);
    expect(map.mapped).toMatch(/^nbd\+unix:\/\/\/vda\?socket=/);
    const { stdout } = await run('nbdinfo', ['--list', map.mapped.replace('/vda?', '/?')]);
    expect(stdout).toContain('export="vda@virtnbdbackup.0"');
    await run('qemu-io', ['-f', 'raw', map.mapped, '-c', 'write -P 1 0 4k', '-c', 'read -P 0xa5 4k 508k']);
    map.kill('SIGTERM');
    expect(await map.exit()).toBe(143);
    expect(map.log()).toMatch(/INFO ended by SIGTERM\n$/);
    expect(map.log()).not.toMatch(/WARNING|ERROR/);
    expect(await map.traces()).toEqual([]);
  });

  test('files by hand are the export sda with the limits of -b and the log of -H', async () => {
    await using folder = await smallFolder();
    const socket = join(folder.path, 'nbd.sock');
    const file = join(folder.path, 'vda.full.data');
    await using map = await RunningMap.start('-f', file, '-b', '65536', '-t', '2', '-H', '-r', '--socket', socket);
    const { stdout } = await run('nbdinfo', [`nbd+unix:///sda?socket=${socket}`]);
    expect(stdout).toMatch(/block_size_maximum: 65536/);
    expect(stdout).toMatch(/is_read_only: true/);
    await run('qemu-io', ['-r', '-f', 'raw', map.mapped, '-c', 'read -P 0xa5 0 512k']);
    // The magic of a request, its flags, and its command: a read.
    expect(map.log()).toMatch(/NBD_CMD_READ flags 0, 65536 bytes at 0\n {2}0000 {2}25 60 95 13 00 00 00 00/);
  });

  test('--once ends with the last client, by 0', async () => {
    await using folder = await smallFolder();
    await using map = await RunningMap.start('-i', folder.path, '--listen', '127.0.0.1:0', '--once');
    expect(map.mapped).toMatch(/^nbd:\/\/127\.0\.0\.1:\d+\/vda$/);
    await run('nbdcopy', [map.mapped, 'null:']);
    expect(await map.exit()).toBe(0);
  });

  test('damage is an I/O error of the client, a line with file and range, and exit code 1', async () => {
    await using folder = await smallFolder();
    const file = await open(join(folder.path, 'vda.full.data'), 'r+');
    await file.write(Buffer.from([0]), 0, 1, 128 * KIB);
    await file.close();
    await using map = await RunningMap.start('-i', folder.path, '--once');
    await expect(run('nbdcopy', [map.mapped, 'null:'])).rejects.toThrow(/Input\/output error/);
    expect(await map.exit()).toBe(1);
    expect(map.stderr).toMatch(
      /ERROR vda at virtnbdbackup\.0 cannot be read at .*vda\.full\.data: .*131072 and byte 196608/,
    );
  });

  test('--overlay FILE keeps what was written, for the next time', async () => {
    await using folder = await smallFolder();
    await using place = await tempFolder();
    const overlay = join(place.path, 'changes');
    for (const command of ['write -P 0x77 8k 4k', 'read -P 0x77 8k 4k']) {
      await using map = await RunningMap.start('-i', folder.path, '--overlay', overlay, '--once');
      await run('qemu-io', ['-f', 'raw', map.mapped, '-c', command]);
      expect(await map.exit()).toBe(0);
    }
  });

  test.skipIf(requires('certtool').skip)(
    '--tls: clients with a certificate are served, plain text is not',
    async () => {
      await using folder = await smallFolder();
      await using certificates = await makeCertificates();
      const tls = ['--listen', '127.0.0.1:0', '--tls', '--tls-cert', certificates.folder];
      await using map = await RunningMap.start('-i', folder.path, ...tls);
      expect(map.mapped).toMatch(/^nbds:/);
      await run('nbdcopy', [`${map.mapped}?tls-certificates=${certificates.folder}`, 'null:']);
      await expect(run('nbdinfo', [map.mapped.replace('nbds:', 'nbd:')])).rejects.toThrow(/not supported|TLS/);
    },
  );

  test('a device that the kernel has not is exit code 1, with the way out', async () => {
    await using folder = await smallFolder();
    await using map = await RunningMap.start('-i', folder.path, '-d', '/dev/nbd99999');
    expect(await map.exit()).toBe(1);
    expect(map.stderr).toMatch(/modprobe nbd|no NBD device of the kernel/);
  });
});

const needed = requires('root', 'fuse', 'nbdfuse', 'mkfs.ext4', 'debugfs');

describe.skipIf(needed.skip)('mounted', () => {
  let folder: TempFolder;
  beforeAll(async () => {
    folder = await tempFolder();
    await using scratch = await tempFolder();
    const image = join(scratch.path, 'disk.raw');
    await makeFileSystem(image, { type: 'ext4', size: 16 * MIB, files: { 'etc/motd': 'full\n' } });
    const full = new Uint8Array(await readFile(image));
    await makePoint(folder.path, { number: 0, disks: [{ ...diskOfImage(full), compression: 'lz4' }] });
    await writeInto(image, 'increment', 'of the increment\n');
    const next = new Uint8Array(await readFile(image));
    await makePoint(folder.path, { number: 1, disks: [{ ...diskOfImage(next, full), compression: 'lz4' }] });
  });
  afterAll(() => folder.remove());

  /** Mounted in a folder that the command makes, with a file of the increment read. */
  async function mounted(): Promise<RunningMap> {
    const place = await tempFolder('vn-target-');
    const target = join(place.path, 'files');
    const map = await RunningMap.start('-i', folder.path, '--mount', target);
    expect(map.mapped, map.stderr).toBe(target);
    expect(await readFile(join(target, 'increment'), 'utf8')).toBe('of the increment\n');
    return map;
  }

  async function nothingIsLeft(map: RunningMap): Promise<void> {
    await waitFor(async () => (await map.traces()).length === 0 && !existsSync(map.mapped), {
      what: 'all is taken away',
    });
    const { stdout: mounts } = await run('findmnt', ['--list', '--noheadings', '--output', 'TARGET']);
    expect(mounts).not.toContain(map.mapped);
    expect((await host.files.list(join(map.mapped, '..'))).length).toBe(0);
    await host.files.removeFolder(join(map.mapped, '..'));
  }

  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    test(`${signal} takes everything away`, async () => {
      await using map = await mounted();
      map.kill(signal);
      expect(await map.exit()).toBe(code);
      await nothingIsLeft(map);
    });
  }

  test('an unmount by hand ends the command, by 0', async () => {
    await using map = await mounted();
    await run('umount', [map.mapped]);
    expect(await map.exit()).toBe(0);
    await nothingIsLeft(map);
  });

  test('SIGKILL of the command leaves nothing', async () => {
    await using map = await mounted();
    const parts = [map.part('nbdfuse'), map.part('mapping-watchdog')];
    map.kill('SIGKILL');
    await map.exit();
    await nothingIsLeft(map);
    await waitFor(() => parts.every((pid) => !isRunning(pid)), { what: 'all parts have ended' });
  });

  test('SIGKILL of nbdfuse ends the command by 1, and leaves nothing', async () => {
    await using map = await mounted();
    process.kill(map.part('nbdfuse'), 'SIGKILL');
    expect(await map.exit()).toBe(1);
    expect(map.stderr).toContain('nbdfuse has ended (by SIGKILL)');
    await nothingIsLeft(map);
  });

  test('SIGKILL of the watchdog is made good: after the next one, of the command, nothing is left', async () => {
    await using map = await mounted();
    const first = map.part('mapping-watchdog');
    process.kill(first, 'SIGKILL');
    await waitFor(() => !isRunning(first), { what: 'the watchdog has ended' });
    await waitFor(() => anotherThan(first, () => map.part('mapping-watchdog')), { what: 'another watchdog' });
    map.kill('SIGKILL');
    await map.exit();
    await nothingIsLeft(map);
  });

  test('a folder that somebody is using vanishes all the same', async () => {
    await using map = await mounted();
    await using _file = await open(join(map.mapped, 'etc/motd'));
    map.kill('SIGTERM');
    expect(await map.exit()).toBe(143);
    await nothingIsLeft(map);
  });

  test('a folder with files in it, or where something is mounted, is refused and left as it is', async () => {
    await using place = await tempFolder();
    await host.files.writeAtomic(join(place.path, 'mine'), 'x');
    await using map = await RunningMap.start('-i', folder.path, '--mount', place.path);
    expect([await map.exit(), map.stderr]).toEqual([1, expect.stringContaining('is not empty')]);
    expect(await readdir(place.path)).toEqual(['mine']);
  });
});

/** What is found, where it is another process; false where there is none yet. */
function anotherThan(first: number, find: () => number): number | false {
  try {
    const found = find();
    return found !== first && found;
  } catch {
    return false;
  }
}
