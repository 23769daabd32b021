import { chmod, cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import {
  makeImage,
  run as runProgram,
  type TempFolder,
  TestLibvirt,
  type TestVm,
  tempFolder,
  waitFor,
} from '@virtnbd/test-kit';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type RunningCommand, run, start, succeed } from '../src/commands.ts';
import { zipInTwo } from '../src/zips.ts';

let libvirt: TestLibvirt;
let work: TempFolder;
let folder: string;
let saved: TestVm;
/** Has no operating system, and so writes nothing; two disks. */
let plain: TestVm;
let plainFolder: string;
let env: NodeJS.ProcessEnv;
let scratch: string;

/** A compressed chain of a real guest: a full, and an increment with a file that the guest wrote. The guest runs on. */
beforeAll(async () => {
  work = await tempFolder();
  libvirt = await TestLibvirt.start();
  folder = join(work.path, 'backup');
  env = { LIBVIRT_DEFAULT_URI: libvirt.uri, HOME: work.path };
  const raw = join(work.path, 'guest.raw');
  await makeImage(raw, { format: 'raw', size: '48M' });
  await runProgram('mkfs.ext4', ['-q', '-F', raw]);
  const image = join(work.path, 'guest.qcow2');
  await runProgram('qemu-img', ['convert', '-O', 'qcow2', raw, image]);
  const xmlExtra = "<video><model type='vga'/></video><graphics type='vnc' port='-1' autoport='yes'/>";
  saved = await libvirt.createVm({ name: 'saved [vm]', guest: true, disks: [{ target: 'vda', image }], xmlExtra });
  await saved.waitForAgent();
  await saved.guestExec('echo of the full > /mnt/full; sync');
  const backup = (level: string) =>
    succeed('virtnbdbackup', ['-d', saved.name, '-l', level, '-o', folder, '-z', '-n'], env);
  await backup('full');
  await saved.guestExec('echo of the increment > /mnt/increment; sync');
  await backup('inc');
  const agent = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>";
  const disks = [
    { target: 'vda', size: '8M' },
    { target: 'vdb', size: '24M' },
  ] as const;
  plain = await libvirt.createVm({ name: 'plain', disks, xmlExtra: agent });
  await plain.write('vda', 0, 262144, 0x5a);
  await plain.write('vdb', 1048576, 4194304, 0xa5);
  plainFolder = join(work.path, 'plain');
  const args = (level: string) => ['-d', 'plain', '-l', level, '-o', plainFolder, '-n'];
  await succeed('virtnbdbackup', args('full'), env);
  await plain.write('vdb', 2097152, 65536, 0x11);
  await plain.zero('vdb', 3145728, 65536);
  await succeed('virtnbdbackup', args('inc'), env);
}, 300_000);

afterAll(async () => {
  await libvirt?.stop();
  await work?.remove();
});

beforeAll(async () => {
  scratch = join(work.path, 'scratch');
  await mkdir(scratch);
  await chmod(scratch, 0o755);
});

// Whatever a test did, nothing of the VM is left: no domain, no folder, no image.
afterEach(async () => {
  const names = async () => (await libvirt.virsh('list', '--all', '--name')).trim().split('\n').sort().join();
  const own = [plain.name, saved.name].sort().join();
  await waitFor(async () => (await names()) === own, { what: 'The end of every other VM' });
  await waitFor(async () => (await readdir(scratch)).length === 0, { what: 'An empty scratch folder' });
});

/** `virtnbd boot` of a folder. */
const argsOf = (backup: string, ...more: readonly string[]): string[] => [
  ...['boot', backup, '--scratchdir', scratch, '-n'],
  ...(libvirt.identity.dropped ? ['--qemu-user', `+${libvirt.identity.uid}:+${libvirt.identity.gid}`] : []),
  ...more,
];
const argsFor = (...more: readonly string[]): string[] => argsOf(folder, ...more);

/** A copy of the plain VM's backup with a flipped byte in the increment of vdb. */
async function damagedFolder(): Promise<string> {
  const damaged = join(work.path, 'damaged');
  await rm(damaged, { recursive: true, force: true });
  await cp(plainFolder, damaged, { recursive: true });
  const path = join(damaged, 'vdb.full.data');
  const bytes = await readFile(path);
  bytes[bytes.indexOf(Buffer.alloc(4096, 0xa5)) + 100] = 0;
  await writeFile(path, bytes);
  return damaged;
}

async function booted(command: RunningCommand, name = `boot_${saved.name}`): Promise<TestVm> {
  const ready = () => /is running/.test(command.stderr());
  await waitFor(ready, { what: 'The VM', timeoutMs: 60_000 });
  const vm = await libvirt.findVm(name, { guest: true });
  await vm.waitForAgent();
  return vm;
}

/** Its watchdogs, by their command lines: children of the command that see to what it would leave. */
async function watchdogsOf({ pid }: RunningCommand): Promise<number[]> {
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim().split(' ').map(Number);
  const isWatchdog = async (child: number): Promise<boolean> =>
    (await readFile(`/proc/${child}/cmdline`, 'utf8').catch(() => '')).includes('boot-watchdog');
  const found = await Promise.all(children.map(async (child) => ((await isWatchdog(child)) ? [child] : [])));
  return found.flat();
}

async function kill(vm: TestVm): Promise<void> {
  process.kill(await vm.pid(), 'SIGKILL');
}

/** A process that is there: 0 would be all of our own group. */
function known(pid: number | undefined): number {
  if (!pid) throw new Error('there is no such process');
  return pid;
}

test('a restore point of a compressed chain runs beside the saved VM, with the file of the increment; Ctrl-C leaves nothing', async () => {
  const command = start('virtnbd', argsFor(), env);
  const vm = await booted(command);
  expect((await vm.guestExec('cat /mnt/increment')).stdout).toBe('of the increment\n');
  await vm.guestExec('echo new > /mnt/new; sync');
  expect(command.stderr()).toContain(`console 'boot_${saved.name}'`);
  expect(command.stderr()).toMatch(/remote-viewer vnc:\/\/127\.0\.0\.1:59\d\d/);
  command.kill('SIGINT');
  expect(await command.ended).toMatchObject({ code: 130, stderr: expect.stringMatching(/INFO ended by SIGINT\n$/) });
  expect((await saved.guestExec('ls /mnt')).stdout).not.toContain('new');
}, 120_000);

test('an older point runs as it was then, out of zips, and the command ends when its guest shuts down, a restart of libvirt between', async () => {
  const zips = await zipInTwo(folder, 'virtnbdbackup.1');
  const command = start('virtnbd', argsOf(zips, '--point', 'virtnbdbackup.0', '--name', 'older'), env);
  const vm = await booted(command, 'older');
  await libvirt.restartDaemon('SIGKILL'); // the VM goes on, and so does the command
  expect((await vm.guestExec('ls /mnt')).stdout).not.toContain('increment');
  await vm.virsh('shutdown');
  expect((await command.ended).code).toBe(0);
}, 120_000);

test('nothing is left when the command is killed', async () => {
  const command = start('virtnbd', argsFor(), env);
  await booted(command);
  command.kill('SIGKILL');
  await command.ended;
}, 120_000);

test('nothing is left when the command is killed after its watchdog was: another had taken its place', async () => {
  const command = start('virtnbd', argsOf(plainFolder), env);
  await waitFor(() => /is running/.test(command.stderr()), { what: 'The VM' });
  const [first] = await watchdogsOf(command);
  process.kill(known(first), 'SIGKILL');
  const another = async (): Promise<boolean> => (await watchdogsOf(command)).some((pid) => pid !== first);
  await waitFor(another, { what: 'Another watchdog' });
  command.kill('SIGKILL');
  await command.ended;
}, 120_000);

test('a VM whose qemu is killed has ended, and so has the command; of a check that is the verdict', async () => {
  const command = start('virtnbd', argsOf(plainFolder, '--name', 'killed'), env);
  await waitFor(() => /is running/.test(command.stderr()), { what: 'The VM' });
  await kill(await libvirt.findVm('killed'));
  expect(await command.ended).toMatchObject({ code: 0, stderr: expect.stringContaining('the VM has ended') });
  const check = start('virtnbd', argsOf(plainFolder, '--check', '--no-record', '--name', 'killed'), env);
  await waitFor(() => /is running/.test(check.stderr()), { what: 'The VM' });
  await kill(await libvirt.findVm('killed'));
  expect(await check.ended).toMatchObject({ code: 1, stderr: expect.stringContaining('The VM ended by itself') });
}, 120_000);

test('a kept VM needs neither backup nor command, and has what was there and what its guest wrote', async () => {
  const moved = join(work.path, 'backup to lose');
  await cp(folder, moved, { recursive: true });
  const images = join(work.path, 'kept images');
  const command = start('virtnbd', argsOf(moved, '--keep', images, '--name', 'kept'), env);
  expect(await command.ended).toMatchObject({ code: 0 });
  await rm(moved, { recursive: true });
  const vm = await libvirt.findVm('kept', { guest: true });
  await vm.waitForAgent();
  await vm.guestExec('echo written later > /mnt/later; sync; umount /mnt');
  const image = join(images, 'guest.qcow2');
  expect(JSON.parse((await runProgram('qemu-img', ['info', '-U', '--output=json', image])).stdout)).not.toHaveProperty(
    'backing-filename',
  );
  await vm.virsh('destroy');
  await vm.virsh('start');
  await vm.waitForAgent();
  expect((await vm.guestExec('cat /mnt/increment /mnt/later')).stdout).toBe('of the increment\nwritten later\n');
  await vm.virsh('destroy');
  await vm.virsh('undefine');
}, 240_000);

test('the images of a kept VM that wrote nothing equal those of a restore', async () => {
  const images = join(work.path, 'untouched');
  await succeed('virtnbd', argsOf(plainFolder, '--keep', images, '--name', 'untouched'), env);
  const restored = join(work.path, 'restored');
  await succeed('virtnbdrestore', ['-i', plainFolder, '-o', restored, '-n'], env);
  await libvirt.virsh('destroy', 'untouched');
  await libvirt.virsh('undefine', 'untouched');
  for (const { path } of plain.disks) {
    const compared = await runProgram('qemu-img', [
      'compare',
      join(images, basename(path)),
      join(restored, basename(path)),
    ]);
    expect(compared.stdout).toContain('identical');
  }
}, 120_000);

test('a VM whose backup is damaged is not kept: the file is named, and nothing stays', async () => {
  const images = join(work.path, 'never');
  const result = await run('virtnbd', argsOf(await damagedFolder(), '--keep', images, '--name', 'never'), env);
  expect(result.code).toBe(1);
  expect(result.stderr).toContain('vdb.full.data');
  expect(await readdir(images)).toEqual([]);
}, 120_000);

test('a check passes when the agent answers, records that beside the point, and ends the VM', async () => {
  const { stdout } = await succeed('virtnbd', argsFor('--check', '--timeout', '120', '--json'), env);
  expect(JSON.parse(stdout)).toMatchObject({ passed: true, sign: 'agent' });
  const record = JSON.parse(await readFile(join(folder, 'virtnbdbackup.1.verdict.json'), 'utf8'));
  expect(record).toMatchObject({ format: 'virtnbd-verdict', point: 'virtnbdbackup.1', boot: { passed: true } });
  // The folder is still one that can be continued and verified.
  await succeed('virtnbd', ['verify', folder], env);
}, 180_000);

test('a check fails when no agent answers in time, and records that', async () => {
  const result = await run('virtnbd', argsOf(plainFolder, '--check', '--timeout', '2'), env);
  expect(result.code).toBe(1);
  expect(result.stderr).toContain('did not answer within 2 s');
  const record = JSON.parse(await readFile(join(plainFolder, 'virtnbdbackup.1.verdict.json'), 'utf8'));
  expect(record.boot).toMatchObject({ passed: false, sign: 'agent' });
}, 120_000);

test('a check of the screen passes when it changed and then stands still; of zips it leaves no record', async () => {
  const zips = await zipInTwo(folder, 'virtnbdbackup.1');
  const args = argsOf(zips, '--check', '--sign', 'screen', '--still', '3', '--json');
  const { stdout, stderr } = await succeed('virtnbd', args, env);
  expect(stderr).toContain('nothing is added to a zip');
  expect(JSON.parse(stdout)).toMatchObject({ passed: true, sign: 'screen' });
}, 120_000);
