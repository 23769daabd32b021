import { execFile, spawn } from 'node:child_process';
import { mkdir, open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { compareFiles, findLeftovers, nbdUri, requires, waitFor } from '@virtnbd/test-kit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bins, run, start, succeed } from '../src/commands.ts';
import { difference } from '../src/images.ts';
import { type PipeResult, pipe as pipeBackup } from '../src/pipe.ts';
import { Scenario } from '../src/scenario.ts';

const MIB = 1 << 20;
const execute = promisify(execFile);

let scenario: Scenario;
beforeAll(async () => {
  scenario = await Scenario.start([{ target: 'vda' }, { target: 'vdb', size: '8M' }]);
});
afterAll(async () => scenario[Symbol.asyncDispose]());

/** A folder to run in, and zips beside it. */
async function emptyFolder(name: string): Promise<{ cwd: string; zip: (file: string) => string }> {
  const cwd = join(scenario.work.path, name);
  await mkdir(cwd, { recursive: true });
  return { cwd, zip: (file) => join(scenario.work.path, `${name}-${file}.zip`) };
}

/** Runs a backup of the VM to standard output through a shell's pipe, `| reader`. */
function pipe(cwd: string, level: string, reader: string, ...args: readonly string[]): Promise<PipeResult> {
  return pipeBackup(['-d', scenario.vm.name, '-l', level, ...args], reader, { cwd, env: scenario.env });
}

async function pipeInto(zip: string, cwd: string, level: string, ...args: readonly string[]): Promise<void> {
  const { code, stderr } = await pipe(cwd, level, `cat > '${zip}'`, ...args);
  expect([code, stderr]).toEqual([0, expect.not.stringContaining('ERROR')]);
}

async function expectRestored(input: string, point: string): Promise<void> {
  const target = join(scenario.work.path, `restored-${process.hrtime.bigint()}`);
  await succeed('virtnbdrestore', ['-i', input, '-o', target, '-n', '--until', point], scenario.env);
  for (const disk of ['vda', 'vdb']) {
    const image = join(target, scenario.imageName(disk));
    expect(await difference(image, scenario.reference(point, disk)), `${disk} at ${point}`).toBeNull();
  }
}

/** A full and an increment, each a zip; the references of both are kept. */
async function chainOfZips(name: string): Promise<{ cwd: string; full: string; inc: string }> {
  const { cwd, zip } = await emptyFolder(name);
  const [full, inc] = [zip('full'), zip('inc')];
  await scenario.vm.write('vda', 0, 3 * MIB, 0x11);
  await scenario.keepReference('virtnbdbackup.0');
  await pipeInto(full, cwd, 'full');
  await scenario.vm.write('vda', MIB, MIB, 0x22);
  await scenario.vm.zero('vda', 2 * MIB, 65536, { unmap: true });
  await scenario.keepReference('virtnbdbackup.1');
  await pipeInto(inc, cwd, 'inc', '-z');
  return { cwd, full, inc };
}

test.skipIf(requires('unzip', 'python3').skip)(
  'a full and an increment through a pipe: only checkpoints stay, and the zips restore exactly, as they are, in a folder, and unpacked',
  async () => {
    const { cwd, full, inc } = await chainOfZips('chain');
    expect((await readdir(cwd)).sort()).toEqual(['checkpoints', `${scenario.vm.name}.cpt`]);
    expect((await readdir(join(cwd, 'checkpoints'))).sort()).toEqual(['virtnbdbackup.0.xml', 'virtnbdbackup.1.xml']);
    for (const zip of [full, inc]) {
      await execute('unzip', ['-tq', zip]);
      await execute('python3', [
        '-c',
        'import sys,zipfile; assert zipfile.ZipFile(sys.argv[1]).testzip() is None',
        zip,
      ]);
    }
    await expectRestored(full, 'virtnbdbackup.0');
    await expectRestored(`${full},${inc}`, 'virtnbdbackup.1');
    const folder = join(scenario.work.path, 'unpacked');
    await execute('unzip', ['-q', full, '-d', folder]);
    await execute('cp', [inc, join(folder, 'second.zip')]);
    await expectRestored(folder, 'virtnbdbackup.1');
    await rm(join(folder, 'second.zip'));
    await execute('unzip', ['-qo', inc, '-d', folder]);
    await expectRestored(folder, 'virtnbdbackup.1');
    for (const args of [
      ['verify', `${full},${inc}`],
      ['inspect', folder],
      ['inspect', full],
    ])
      await succeed('virtnbd', args, scenario.env);
    // Unpacked, it is a backup folder like any other: the next increment may go there.
    await scenario.vm.write('vdb', MIB, MIB, 0x33);
    await scenario.keepReference('virtnbdbackup.2');
    await succeed('virtnbdbackup', ['-d', scenario.vm.name, '-l', 'inc', '-o', folder, '-n'], scenario.env);
    await expectRestored(folder, 'virtnbdbackup.2');
  },
);

test.skipIf(requires('nbdcopy').skip)(
  'a chain of zips is mapped as it is: what nbdcopy reads is what was there',
  async () => {
    const { full, inc } = await chainOfZips('mapped');
    const place = join(scenario.work.path, 'map');
    await mkdir(place);
    const socket = join(place, 's');
    const args = [
      '-i',
      `${full},${inc}`,
      '--socket',
      socket,
      '-r',
      '--once',
      '-L',
      join(place, 'log'),
      '--scratchdir',
      place,
    ];
    const map = start('virtnbdmap', [...args, '-n'], scenario.env);
    await waitFor(() => map.stderr().includes('ready'), { what: 'virtnbdmap' });
    await execute('nbdcopy', [nbdUri(socket, 'vda'), join(place, 'vda.raw')]);
    const { code, stderr } = await map.ended;
    expect([code, stderr]).toEqual([0, expect.not.stringContaining('ERROR')]);
    const same = await compareFiles(join(place, 'vda.raw'), scenario.reference('virtnbdbackup.1', 'vda'));
    expect(same).toMatchObject({ identical: true });
  },
);

test('a new full through a pipe, into the same folder, begins a new chain there', async () => {
  const { cwd } = await chainOfZips('again');
  const { full, inc } = await chainOfZips('again');
  expect((await readdir(join(cwd, 'checkpoints'))).sort()).toEqual(['virtnbdbackup.0.xml', 'virtnbdbackup.1.xml']);
  await expectRestored(`${full},${inc}`, 'virtnbdbackup.1');
});

test('zips of different chains are refused together, and so is one that was cut off', async () => {
  const first = await chainOfZips('one');
  const second = await chainOfZips('two');
  const target = join(scenario.work.path, 'never');
  const mixed = await run('virtnbdrestore', ['-i', `${first.full},${second.full}`, '-o', target, '-n'], scenario.env);
  expect([mixed.code, mixed.stderr]).toEqual([1, expect.stringContaining('they differ')]);
  const foreign = await run('virtnbdrestore', ['-i', `${first.full},${second.inc}`, '-o', target, '-n'], scenario.env);
  expect(foreign.code).toBe(1);
  const cut = await open(first.full, 'r+');
  await cut.truncate((await cut.stat()).size - 100);
  await cut.close();
  const short = await run('virtnbdrestore', ['-i', first.full, '-o', target, '-n'], scenario.env);
  expect([short.code, short.stderr]).toEqual([1, expect.stringContaining('cut off')]);
  expect(await readdir(target).catch(() => [])).toEqual([]);
});

test('a reader that ends early, and one that stalls until the run is stopped: rolled back, and the next increment has all', async () => {
  const { cwd, full, inc } = await chainOfZips('torn');
  const checkpoints = await scenario.vm.checkpoints();
  await scenario.vm.write('vda', 4 * MIB, 4 * MIB, 0x44);
  const gone = await pipe(cwd, 'inc', 'head -c 100000 > /dev/null');
  expect([gone.code, gone.stderr]).toEqual([1, expect.stringContaining('has ended before it had everything')]);
  expect(await scenario.vm.checkpoints()).toEqual(checkpoints);
  await scenario.vm.write('vda', 6 * MIB, 4 * MIB, 0x55);
  const child = spawn(process.execPath, [bins.virtnbdbackup, '-d', scenario.vm.name, '-l', 'inc', '-o', '-'], {
    cwd,
    env: { ...process.env, ...scenario.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  // Nobody reads its output: the pipe is full as soon as the job's blocks come.
  await waitFor(async () => stderr.includes('to save'), { timeoutMs: 60_000 });
  child.kill('SIGTERM');
  const code = await new Promise((resolve) => child.on('exit', resolve));
  child.stdout.destroy();
  expect([code, stderr]).toEqual([143, expect.stringContaining('SIGTERM')]);
  expect(await scenario.vm.checkpoints()).toEqual(checkpoints);
  expect((await readdir(cwd)).sort()).toEqual(['checkpoints', `${scenario.vm.name}.cpt`]);
  expect(await findLeftovers(scenario.libvirt, { folders: [cwd] })).toEqual([]);
  await scenario.keepReference('virtnbdbackup.2');
  const after = join(scenario.work.path, 'torn-after.zip');
  await pipeInto(after, cwd, 'inc');
  await expectRestored(`${full},${inc},${after}`, 'virtnbdbackup.2');
});

test('standard output may be a file; a terminal, and a folder that holds a backup, are refused', async () => {
  const { cwd, zip } = await emptyFolder('file');
  await scenario.keepReference('copy');
  const out = await open(zip('copy'), 'w');
  const command = [bins.virtnbdbackup, '-d', scenario.vm.name, '-o', '-', '-n'];
  const options = { cwd, env: { ...process.env, ...scenario.env } };
  const child = spawn(process.execPath, command, { ...options, stdio: ['ignore', out.fd, 'ignore'] });
  expect(await new Promise((resolve) => child.on('exit', resolve))).toBe(0);
  await out.close();
  expect(await readdir(cwd)).toEqual([]);
  await expectRestored(zip('copy'), 'copy');
  const folder = join(scenario.work.path, 'a-backup');
  await succeed('virtnbdbackup', ['-d', scenario.vm.name, '-l', 'copy', '-o', folder, '-n'], scenario.env);
  const refused = await pipe(folder, 'full', 'cat > /dev/null');
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('in a folder of its own')]);
  const tty = await execute(
    'script',
    ['-qec', `'${process.execPath}' ${command.map((word) => `'${word}'`).join(' ')}`, '/dev/null'],
    options,
  ).catch((error: { stdout: string }) => error);
  expect(tty.stdout).toContain('is a terminal');
});

test('zips that the established tool writes to its standard output are restored exactly', async () => {
  const { cwd, zip } = await emptyFolder('established');
  await scenario.vm.write('vda', 0, MIB, 0x66);
  await scenario.keepReference('virtnbdbackup.0');
  const backup = async (level: string): Promise<void> => {
    const command = `/usr/bin/virtnbdbackup -U '${scenario.libvirt.uri}' -d '${scenario.vm.name}' -l ${level} -o - > '${zip(level)}'`;
    await execute('/bin/sh', ['-c', command], { cwd, env: { ...process.env, ...scenario.env } });
  };
  await backup('full');
  await scenario.vm.write('vda', MIB, MIB, 0x77);
  await scenario.keepReference('virtnbdbackup.1');
  await backup('inc');
  await expectRestored(zip('full'), 'virtnbdbackup.0');
  await expectRestored(`${zip('full')},${zip('inc')}`, 'virtnbdbackup.1');
});
