import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import {
  makeImage,
  run as runProgram,
  type TempFolder,
  TestLibvirt,
  type TestVm,
  tempFolder,
  waitFor,
} from '@virtnbd/test-kit';
import { expect, test } from 'vitest';
import { start, succeed } from '../src/commands.ts';

const execute = promisify(execFile);
const driver = fileURLToPath(new URL('../src/run-and-die.ts', import.meta.url));

/** A libvirt with a VM whose guest runs its agent and has an ext4 file system mounted at /mnt. */
async function withGuest(body: (vm: TestVm, env: NodeJS.ProcessEnv, work: TempFolder) => Promise<void>): Promise<void> {
  await using work = await tempFolder();
  await using libvirt = await TestLibvirt.start();
  const image = join(work.path, 'guest.raw');
  await makeImage(image, { format: 'raw', size: '64M' });
  await runProgram('mkfs.ext4', ['-q', '-F', image]);
  const disk = join(work.path, 'guest.qcow2');
  await runProgram('qemu-img', ['convert', '-O', 'qcow2', image, disk]);
  const vm = await libvirt.createVm({ disks: [{ target: 'vda', image: disk }], guest: true });
  await vm.waitForAgent();
  await body(vm, { LIBVIRT_DEFAULT_URI: libvirt.uri, HOME: work.path }, work);
}

const argsFor = (vm: TestVm, level: string, work: TempFolder): string[] => [
  ...['-d', vm.name, '-l', level, '-o', join(work.path, 'backup'), '-n'],
];

test("a file that the guest has just written is in the backup, by the freeze; the guest's file system is thawed", async () => {
  await withGuest(async (vm, env, work) => {
    await vm.guestExec('echo written just now > /mnt/news');
    const { stderr } = await succeed('virtnbdbackup', argsFor(vm, 'full', work), env);
    expect(stderr).toMatch(/froze [1-9]\d* file system/);
    expect(stderr).toMatch(/thawed the guest after \d+ ms/);
    expect(await vm.fsFrozen()).toBe(false);
    const target = join(work.path, 'restored');
    await succeed('virtnbdrestore', ['-i', join(work.path, 'backup'), '-o', target, '-n'], env);
    const raw = join(work.path, 'restored.raw');
    await runProgram('qemu-img', ['convert', '-O', 'raw', join(target, 'guest.qcow2'), raw]);
    expect((await runProgram('debugfs', ['-R', 'cat news', raw])).stdout).toContain('written just now');
  });
});

/** Processes of ours that run in this test's home: whatever they are called. */
async function processesOf(work: TempFolder): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const environments = pids.map((pid) => readFile(`/proc/${pid}/environ`, 'utf8').catch(() => ''));
  const found = await Promise.all(environments);
  return pids.filter((_pid, index) => found[index]?.split('\0').includes(`HOME=${work.path}`));
}

test('a run that is killed between freeze and thaw leaves the guest thawed, by its watchdog, which ends', async () => {
  await withGuest(async (vm, env, work) => {
    const args = [driver, 'frozen', 'full', vm.name, join(work.path, 'backup'), env.LIBVIRT_DEFAULT_URI ?? ''];
    const running = execute(process.execPath, args, { env: { ...process.env, ...env } });
    await expect(running).rejects.toMatchObject({ signal: 'SIGKILL' });
    await waitFor(async () => (await processesOf(work)).length === 0, { what: 'The end of the watchdog' });
    expect(await vm.fsFrozen()).toBe(false);
    const { stderr } = await succeed('virtnbdbackup', argsFor(vm, 'full', work), env);
    expect(stderr).toMatch(/thawed the guest after \d+ ms/);
    expect(await processesOf(work)).toEqual([]);
  });
});

test('a run that is told to end after the freeze leaves the guest thawed, and no job', async () => {
  await withGuest(async (vm, env, work) => {
    const command = start('virtnbdbackup', argsFor(vm, 'full', work), env);
    await waitFor(() => command.stderr().includes('froze'), { what: 'The freeze' });
    command.kill('SIGTERM');
    await command.ended;
    expect(await vm.fsFrozen()).toBe(false);
    expect(await vm.jobActive()).toBe(false);
  });
});

test('an agent that hangs does not hang the run: it goes on without a freeze, and says so', async () => {
  await withGuest(async (vm, env, work) => {
    await succeed('virtnbdbackup', argsFor(vm, 'full', work), env);
    await vm.guestExec('(sleep 1; kill -STOP $(pidof qemu-ga)) > /dev/null 2>&1 &');
    await new Promise((resolve) => setTimeout(resolve, 2500));
    const { stderr } = await succeed('virtnbdbackup', argsFor(vm, 'inc', work), env);
    expect(stderr).toContain('WARNING the guest');
  });
}, 240_000);
