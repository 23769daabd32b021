/**
 * The story that `npm run demo` tells: a VM is saved, its disk changes, the changes are saved, both points are restored
 * and compared with what was on the disk. Every line that begins with $ is a command as a user would type it.
 */
import { execFile } from 'node:child_process';
import { cp, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { compareFiles, TestLibvirt, type TestVm, tempFolder } from '@virtnbd/test-kit';
import { addFile, DISK_SIZE, makeDisk, readFileOf } from './file-system.ts';

const run = promisify(execFile);
const MIB = 1 << 20;
const root = fileURLToPath(new URL('../../..', import.meta.url));
const kept = join(root, 'demo-output');

function say(line = ''): void {
  process.stdout.write(`${line}\n`);
}

/** Runs one of our commands through its bin, as npx does, and tells how long it took. */
async function command(name: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  say(`\n$ npx ${name} ${args.map((arg) => (/[^\w./-]/.test(arg) ? `'${arg}'` : arg)).join(' ')}`);
  const since = performance.now();
  const options = { env: { ...process.env, ...env }, maxBuffer: 1 << 26 };
  const { stdout, stderr } = await run(join(root, 'node_modules/.bin', name), args, options);
  for (const line of `${stdout}${stderr}`.split('\n').filter((text) => text !== '')) say(`  ${line}`);
  say(`  (${((performance.now() - since) / 1000).toFixed(1)} s)`);
}

/** Between the backups: data, zeroes, discarded ranges and a new file. */
async function change(vm: TestVm, before: string, folder: string): Promise<void> {
  const blocks = await addFile(vm, before, folder, 'news.txt', 'This file came between the two backups.\n');
  await vm.write('vda', 470 * MIB, 6 * MIB, 0x5a);
  await vm.zero('vda', 400 * MIB, 12 * MIB);
  await vm.discard('vda', 420 * MIB, 12 * MIB);
  say(`  a new file (${blocks} blocks of 64 KiB), 6 MiB written, 12 MiB zeroed, 12 MiB discarded`);
}

/** Restores a point and compares it; gives the path of the restored disk as a raw image. */
async function restoreAndCompare(backup: string, point: string, reference: string, work: string): Promise<string> {
  const target = join(work, `restored-${point}`);
  await command('virtnbdrestore', ['-i', backup, '-o', target, '--until', point], { HOME: work });
  const image = join(target, 'demo.qcow2');
  const raw = join(work, `${point}.raw`);
  await run('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', image, raw]);
  const result = await compareFiles(raw, reference);
  if (!result.identical) throw new Error(`${point} is NOT what was on the disk: ${result.reason}`);
  say(`  ${point}: all ${DISK_SIZE / MIB} MiB identical to what was on the disk`);
  return raw;
}

async function sizes(folder: string): Promise<void> {
  for (const name of (await readdir(folder)).filter((entry) => entry.endsWith('.data'))) {
    const { size } = await stat(join(folder, name));
    say(`  ${name.padEnd(32)} ${(size / MIB).toFixed(1).padStart(8)} MiB`);
  }
}

async function story(libvirt: TestLibvirt, work: string): Promise<void> {
  const disk = join(work, 'demo.raw');
  const image = join(work, 'demo.qcow2');
  await makeDisk(work, disk);
  await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', disk, image]);
  const vm = await libvirt.createVm({ name: 'demo', disks: [{ target: 'vda', image }] });
  await vm.write('vda', 400 * MIB, 40 * MIB, 0xa5);
  say(`The VM «demo» runs under a libvirt of its own; its disk of ${DISK_SIZE / MIB} MiB carries an ext4 file system.`);

  const backup = join(work, 'backup');
  const env = { LIBVIRT_DEFAULT_URI: libvirt.uri };
  const [before, after] = [join(work, 'before.raw'), join(work, 'after.raw')];
  await vm.reference('vda', before);
  await command('virtnbdbackup', ['-d', 'demo', '-l', 'full', '-o', backup], env);
  say('\nThe disk changes:');
  await change(vm, before, work);
  await vm.reference('vda', after);
  await command('virtnbdbackup', ['-d', 'demo', '-l', 'inc', '-o', backup], env);
  say('\nSaved:');
  await sizes(backup);

  await restoreAndCompare(backup, 'virtnbdbackup.0', before, work);
  const raw = await restoreAndCompare(backup, 'virtnbdbackup.1', after, work);
  say(`  its file news.txt says: ${(await readFileOf(raw, 'news.txt')).trim()}`);

  await rm(kept, { recursive: true, force: true });
  await mkdir(kept);
  await cp(backup, join(kept, 'backup'), { recursive: true });
}

async function demo(): Promise<void> {
  await using work = await tempFolder('virtnbd-demo-');
  await using libvirt = await TestLibvirt.start();
  await story(libvirt, work.path);
  say(`\nBoth points came back identical. The backup folder is left for you to look at: ${join(kept, 'backup')}`);
  say(`Restore it again: npx virtnbdrestore -i ${join(kept, 'backup')} -o /tmp/restored`);
}

try {
  await demo();
} catch (error) {
  process.stderr.write(`\nThe demo failed: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
