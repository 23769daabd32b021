import { randomBytes } from 'node:crypto';
import { cp, lstat, mkdir, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  findLeftovers,
  guestfsEnvironment,
  makeImage,
  requires,
  run as runProgram,
  type TempFolder,
  TestLibvirt,
  tempFolder,
  waitFor,
} from '@virtnbd/test-kit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { run, start, succeed } from '../src/commands.ts';
import { zipInTwo } from '../src/zips.ts';

const ODD = `-a "b" 'c' \\ [d] $e ünï`;

let libvirt: TestLibvirt;
let work: TempFolder;
let folder: string;
let scratch: string;
let target: string;
let env: NodeJS.ProcessEnv;
let large: Buffer;

/** One partition with ext4, one with a volume group; in a logical volume files of every kind. */
const MAKE = [
  'run',
  'part-init /dev/sda gpt',
  'part-add /dev/sda p 2048 34815',
  'part-add /dev/sda p 34816 -2048',
  'mkfs ext4 /dev/sda1',
  'mount /dev/sda1 /',
  'write /of-the-partition 1',
  'umount-all',
  'pvcreate /dev/sda2',
  'vgcreate vg0 /dev/sda2',
  'lvcreate data vg0 32',
  'mkfs ext4 /dev/vg0/data',
  'mount /dev/vg0/data /',
  'mkdir-p /tree/deep/folder',
  'write /tree/program "#!/bin/sh"',
  'chmod 04755 /tree/program',
  `write "/tree/${ODD.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}" odd`,
  'write "/tree/two\\nlines" 2',
  'ln-s /etc /tree/out',
  'ln-s deep/folder/large /tree/link',
  'mkfifo 0600 /tree/fifo',
  'utimens /tree/program 0 0 1000000000 0',
];

describe.skipIf(requires('libvirt', 'guest', 'guestfish').skip)('files inside a restore point', () => {
  beforeAll(async () => {
    work = await tempFolder();
    libvirt = await TestLibvirt.start();
    folder = join(work.path, 'backup');
    scratch = join(work.path, 'scratch');
    await mkdir(scratch);
    const guestfs = await guestfsEnvironment();
    env = { ...guestfs, LIBVIRT_DEFAULT_URI: libvirt.uri, HOME: work.path };
    const image = join(work.path, 'disk.qcow2');
    await makeImage(image, { size: '80M' });
    const guestfish = (lines: readonly string[]) =>
      runProgram('guestfish', ['--format=qcow2', '-a', image], { input: lines.join('\n'), env: guestfs });
    // What compression cannot change: it stands in the backup as it is.
    large = randomBytes(8_000_000);
    await writeFile(join(work.path, 'large'), large);
    await guestfish([...MAKE, `upload ${join(work.path, 'large')} /tree/deep/folder/large`]);
    const vm = await libvirt.createVm({ name: 'files', disks: [{ target: 'vda', image }] });
    const backup = (level: string) =>
      succeed('virtnbdbackup', ['-d', 'files', '-l', level, '-o', folder, '-z', '-n'], env);
    await backup('full');
    await vm.destroy();
    await guestfish(['run', 'mount /dev/vg0/data /', 'write /tree/increment "later"']);
    await vm.start({ paused: true });
    await backup('inc');
  }, 600_000);

  afterAll(async () => {
    await libvirt?.stop();
    await work?.remove();
  });

  beforeAll(async () => {
    target = join(work.path, 'target');
    await mkdir(target);
  });

  // Whatever a test did, no server, appliance or folder of it is left.
  afterEach(async () => {
    const left = async () => [
      ...(await readdir(scratch)),
      ...(await readdir(target)).filter((name) => name.startsWith('.')),
    ];
    await waitFor(async () => (await left()).length === 0, {
      what: 'The end of all that was started',
      timeoutMs: 30_000,
    });
    expect(await findLeftovers(null, { folders: [scratch, target] })).toEqual([]);
    await rm(target, { recursive: true });
    await mkdir(target);
  });

  const files = (command: 'ls' | 'cp', ...more: readonly string[]): string[] => [
    command,
    ...more,
    '--scratchdir',
    scratch,
    '-n',
  ];

  test('the file systems are listed, and several of them have to be chosen from', async () => {
    const listed = await succeed('virtnbd', files('ls', await zipInTwo(folder, 'virtnbdbackup.1')), env);
    expect(listed.stdout).toBe('--disk vda --partition 1 (ext4)\n--partition vg0/data (ext4)\n');
    const { code, stderr } = await run('virtnbd', files('ls', folder, '/'), env);
    expect(code).toBe(1);
    expect(stderr).toContain('--partition vg0/data (ext4)');
  }, 120_000);

  test('a folder is listed as it was at each point', async () => {
    const names = async (point: string) => {
      const { stdout } = await succeed(
        'virtnbd',
        files('ls', folder, '/tree', '-p', 'vg0/data', '--json', '--point', point),
        env,
      );
      return (JSON.parse(stdout) as { name: string; kind: string; mode: number }[]).map(
        ({ name, kind }) => `${kind} ${name}`,
      );
    };
    const full = [
      ...[`file ${ODD}`, 'folder deep', 'fifo fifo', 'link link', 'link out', 'file program', 'file two\nlines'],
    ];
    expect(await names('virtnbdbackup.0')).toEqual(full);
    expect(await names('latest')).toEqual([...full, 'file increment'].sort(byName));
  }, 120_000);

  test('a tree is copied with links, names and permissions, but without setuid, and not out of its folder', async () => {
    await symlink('/etc', join(target, 'elsewhere'));
    const result = await run('virtnbd', files('cp', folder, '-r', '/tree', target, '-p', 'vg0/data'), env);
    expect(result.stderr).toContain('/tree/fifo is left out');
    expect(result.code).toBe(1); // not all was copied
    const tree = join(target, 'tree');
    expect(await readFile(join(tree, 'increment'), 'utf8')).toBe('later');
    expect(await readFile(join(tree, ODD), 'utf8')).toBe('odd');
    expect(await readFile(join(tree, 'two\nlines'), 'utf8')).toBe('2');
    expect((await readFile(join(tree, 'deep/folder/large'))).equals(large)).toBe(true);
    expect(await readlink(join(tree, 'out'))).toBe('/etc');
    const { mode, mtimeMs } = await lstat(join(tree, 'program'));
    expect([mode & 0o7777, mtimeMs]).toEqual([0o755, 1_000_000_000_000]);
  }, 120_000);

  test('a link is followed inside the guest; a file that is there stays, unless --force is given; out of zips, too', async () => {
    const file = join(target, 'copy');
    await writeFile(file, 'mine');
    const args = files('cp', folder, '/tree/link', file, '-p', 'vg0/data');
    const refused = await run('virtnbd', args, env);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('--force');
    expect(await readFile(file, 'utf8')).toBe('mine');
    const zips = await zipInTwo(folder, 'virtnbdbackup.1');
    await succeed('virtnbd', [...files('cp', zips, '/tree/link', file, '-p', 'vg0/data'), '--force'], env);
    expect((await lstat(file)).size).toBe(large.length);
  }, 120_000);

  test('damage is told with the file, and no wrong byte is copied', async () => {
    const damaged = join(work.path, 'damaged');
    await cp(folder, damaged, { recursive: true });
    const path = join(damaged, 'vda.full.data');
    const bytes = await readFile(path);
    const at = bytes.indexOf(large.subarray(4_000_000, 4_000_064));
    expect(at).toBeGreaterThan(0);
    bytes[at] = 0;
    await writeFile(path, bytes);
    const { code, stderr } = await run(
      'virtnbd',
      files('cp', damaged, '/tree/deep/folder/large', target, '-p', 'vg0/data'),
      env,
    );
    expect(code).toBe(1);
    expect(stderr).toContain('vda.full.data');
    expect(await readdir(target)).toEqual([]);
  }, 120_000);

  test.each(['SIGINT', 'SIGKILL'] as const)(
    '%s leaves nothing',
    async (signal) => {
      const command = start('virtnbd', files('cp', folder, '-r', '/', target, '-p', 'vg0/data'), env);
      await waitFor(async () => (await readdir(scratch)).length > 0, { what: 'The start' });
      command.kill(signal);
      expect((await command.ended).code).toBe(signal === 'SIGINT' ? 130 : null);
    },
    120_000,
  );

  test('guestfish alone killed ends the command with what happened, and nothing is left', async () => {
    const command = start('virtnbd', files('cp', folder, '-r', '/', target, '-p', 'vg0/data'), env);
    const copying = async (): Promise<boolean> => (await readdir(target)).length > 0;
    await waitFor(copying, { what: 'The copy', timeoutMs: 60_000 });
    const [guestfish] = await below(command.pid, 'guestfish');
    process.kill(guestfish ?? Number.NaN, 'SIGKILL');
    const { code, stderr } = await command.ended;
    expect([code, stderr]).toEqual([1, expect.stringContaining('libguestfs failed')]);
  }, 120_000);

  test('without libguestfs it says what to install', async () => {
    const { code, stderr } = await run('virtnbd', files('ls', folder), { ...env, PATH: '/nonexistent' });
    expect(code).toBe(1);
    expect(stderr).toContain('apt-get install guestfish');
  });
});

/** Processes of this name below another one. */
async function below(pid: number, name: string): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  const children = text.split(' ').filter(Boolean).map(Number);
  const found = await Promise.all(
    children.map(async (child) => {
      const own = (await readFile(`/proc/${child}/comm`, 'utf8').catch(() => '')).trim() === name ? [child] : [];
      return [...own, ...(await below(child, name))];
    }),
  );
  return found.flat();
}

function byName(a: string, b: string): number {
  const [left = '', right = ''] = [a, b].map((text) => text.slice(text.indexOf(' ') + 1));
  return left < right ? -1 : 1;
}
